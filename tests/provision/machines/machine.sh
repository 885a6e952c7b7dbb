#!/bin/sh
# machine.sh NAME PRIVATE PUBLIC FOLDER IMAGE WIRE GROUP      process 1 of a machine, and before that what makes its namespaces
#
# Its disk is memory over the image, its network one wire to the bridge `cloud` of the network it was started in. All of it
# goes with process 1: nothing has to be removed but its control groups, GROUP in every hierarchy.
set -eu
name=$1 private=$2 public=$3 folder=$4 image=$5 wire=$6 group=$7
hierarchies() { [ -e /sys/fs/cgroup/cgroup.controllers ] && echo /sys/fs/cgroup || ls -d /sys/fs/cgroup/*/; }

if [ -z "${MACHINE-}" ]; then
  for one in $(hierarchies); do
    mkdir "$one/$group"
    # A group without processors and memory takes no process.
    for file in cpuset.cpus cpuset.mems; do [ ! -e "$one/$group/$file" ] || cat "$one/$file" >"$one/$group/$file"; done
    echo $$ >"$one/$group/cgroup.procs"
  done
  exec 3</proc/self/ns/net
  MACHINE=yes exec unshare --net --mount --propagation private --pid --uts --ipc --cgroup --fork --kill-child "$0" "$@"
fi

mkdir -p "$folder/disk"
mount -t tmpfs -o size=8g disk "$folder/disk"
cd "$folder/disk"
mkdir changed work root store
mount -t overlay machine -o "lowerdir=$image,upperdir=changed,workdir=work" root
# What lies on an overlay can be no part of another: containers and volumes have a place of their own.
for one in containerd kubelet; do mkdir -p store/$one root/var/lib/$one; mount --bind store/$one root/var/lib/$one; done
for one in programs:opt/kubernetes images:var/lib/kubernetes/images; do
  mount --bind "$folder/../${one%:*}" "root/${one#*:}"
  mount -o remount,bind,ro "root/${one#*:}"
done
cp "$folder/first-boot" root/root/first-boot

cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
for one in $(hierarchies); do
  one=${one%/}; inside=sys/fs/cgroup${one#/sys/fs/cgroup}
  mkdir -p "$inside"
  case $(findmnt --noheadings --first-only --output FSTYPE --target "$one") in
    cgroup2) mount -t cgroup2 cgroup "$inside" ;;
    *) options=${one##*/}; [ "$options" != systemd ] || options=none,name=systemd
       mount -t cgroup -o "$options" cgroup "$inside" ;;
  esac
done
if [ -e sys/fs/cgroup/cgroup.controllers ]; then
  # What hands on controllers may hold no process itself.
  mkdir sys/fs/cgroup/boot && echo 1 >sys/fs/cgroup/boot/cgroup.procs
  for one in $(cat sys/fs/cgroup/cgroup.controllers); do echo "+$one" >sys/fs/cgroup/cgroup.subtree_control || true; done
fi
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for one in null zero full random urandom tty kmsg; do [ ! -e /dev/$one ] || { : >dev/$one; mount --bind /dev/$one dev/$one; }; done
mkdir dev/pts dev/shm run/sshd run/lock run/settings
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for one in ptmx:pts/ptmx fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do ln -s "${one#*:}" "dev/${one%:*}"; done
# The kubelet sets these for the whole of a machine, and here the kernel is another's.
while read -r file value; do
  echo "$value" >"run/settings/${file##*/}"
  mount --bind "run/settings/${file##*/}" "proc/sys/$file"
done <<END
kernel/keys/root_maxbytes 25000000
kernel/keys/root_maxkeys 1000000
kernel/panic 10
kernel/panic_on_oops 1
vm/overcommit_memory 1
vm/panic_on_oom 0
END

ip link set lo up
ip link add eth0 type veth peer name "$wire" netns /proc/self/fd/3
nsenter --net=/proc/self/fd/3 ip link set "$wire" master cloud up
ip address add "$private/16" dev eth0
ip address add "$public/16" dev eth0
ip link set eth0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
exec 3<&-

hostname "$name"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >etc/hosts
pivot_root . mnt
umount -l /mnt
exec chroot . /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -euc '
  sh -eu /root/first-boot
  rm /root/first-boot
  ssh-keygen -q -A
  /usr/sbin/sshd -e
  # Reaps what daemons leave behind, for which sh is as good as any.
  while :; do sleep 3600 & wait $!; done'
