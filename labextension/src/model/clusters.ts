/**
 * The list of clusters, as it was last read: the one thing that every screen draws from.
 *
 * It never polls. Hints say which cluster to read again, a new connection to read all; what does not change stays the same object, so
 * that React draws only what did. `subscribe` and `snapshot` are what `useSyncExternalStore` takes.
 */

import { type Api, problemOf, Refused, Unreachable } from './api';
import type { Hints } from './hints';
import type { Change, Cluster, Kind, Options, Problem, Quota } from './records';

/** All that is known. `clusters` stay when the server is away: better old than none, and `state` says so. */
export interface Snapshot {
  readonly state: 'loading' | 'live' | 'offline' | 'error';
  readonly clusters: readonly Cluster[];
  readonly kinds: readonly Kind[];
  readonly quota: Quota | null;
  /** Why the list could not be read. */
  readonly problem: Problem | null;
}

/** More names than this at once are read as one list. */
const MOST_APART = 8;

export class Clusters {
  private current: Snapshot = { state: 'loading', clusters: [], kinds: [], quota: null, problem: null };
  private readonly listeners = new Set<() => void>();
  private readonly named = new Set<string>();
  private everything = false;
  private reading = false;
  private connected = false;
  private readonly source: { dispose(): void };

  constructor(
    readonly api: Api,
    hints: Hints
  ) {
    this.source = hints({
      connected: () => {
        this.connected = true;
        this.refresh();
      },
      lost: () => {
        this.connected = false;
        // Where the bus cannot be had at all, there shall still be a list.
        if (this.current.state === 'loading') {
          this.refresh();
        } else {
          this.set({ state: 'offline' });
        }
      },
      hint: name => {
        this.named.add(name);
        void this.read();
      }
    });
  }

  readonly snapshot = (): Snapshot => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Read everything again. */
  refresh(): void {
    this.everything = true;
    void this.read();
  }

  dispose(): void {
    this.source.dispose();
    this.listeners.clear();
  }

  find(name: string): Cluster | undefined {
    return this.current.clusters.find(cluster => cluster.name === name);
  }

  kind(kind: string): Kind | undefined {
    return this.current.kinds.find(one => one.kind === kind);
  }

  /** What changes of kinds while others see the list: how long a launch usually takes. */
  async readKinds(): Promise<void> {
    const kinds = await this.api.kinds();
    const before = new Map(this.current.kinds.map(kind => [kind.kind, kind]));
    this.set({ kinds: kinds.map(kind => same(before.get(kind.kind), kind)) });
  }

  async launch(kind: string, name: string, options: Options): Promise<Cluster> {
    const cluster = await this.api.launch(kind, name, options);
    this.hinted(cluster.name);
    return cluster;
  }

  async change(name: string, change: Change): Promise<void> {
    await this.api.change(name, change);
    this.hinted(name);
  }

  async stop(name: string): Promise<void> {
    await this.api.stop(name);
    this.hinted(name);
  }

  /** What was done here is seen at once, whether or not the bus works. */
  private hinted(name: string): void {
    this.named.add(name);
    void this.read();
  }

  /** One reader at a time, so that an older reply never overwrites a newer one; what comes meanwhile is read after it. */
  private async read(): Promise<void> {
    if (this.reading) {
      return;
    }
    this.reading = true;
    let asked = true;
    while (asked) {
      const names = [...this.named];
      const all = this.everything || names.length > MOST_APART;
      this.everything = false;
      this.named.clear();
      try {
        await (all ? this.readAll() : this.readSome(names).catch(error => this.readAllAfter(error)));
        asked = this.everything || this.named.size > 0;
      } catch (error) {
        // Whoever asked meanwhile may know that it is better now; if nobody did, the next connection or hint reads all of it.
        asked = this.everything || this.named.size > 0;
        this.everything = true;
        this.set({ state: error instanceof Unreachable ? 'offline' : 'error', problem: problemOf(error) });
      }
    }
    this.reading = false;
  }

  /** The list does not wait for the quota, which stands above it. */
  private async readAll(): Promise<void> {
    await Promise.all([this.readList(), this.readQuota()]);
  }

  private async readList(): Promise<void> {
    const [clusters, kinds] = await Promise.all([this.api.clusters(), this.current.kinds.length ? this.current.kinds : this.api.kinds()]);
    const before = new Map(this.current.clusters.map(cluster => [cluster.name, cluster]));
    const kept = clusters.map(cluster => same(before.get(cluster.name), cluster));
    this.set({ state: this.connected ? 'live' : 'offline', clusters: kept, kinds, problem: null });
  }

  private async readQuota(): Promise<void> {
    const quota = same(this.current.quota ?? undefined, await this.api.quota());
    if (quota !== this.current.quota) {
      this.set({ quota });
    }
  }

  /** What cannot be read by itself may still stand in the list, with what is wrong with it. */
  private async readAllAfter(error: unknown): Promise<void> {
    if (!(error instanceof Refused)) {
      throw error;
    }
    await this.readAll();
  }

  private async readSome(names: readonly string[]): Promise<void> {
    await Promise.all([this.readNamed(names), this.readQuota()]);
  }

  private async readNamed(names: readonly string[]): Promise<void> {
    const found = await Promise.all(names.map(name => this.api.cluster(name)));
    const clusters = new Map(this.current.clusters.map(cluster => [cluster.name, cluster]));
    names.forEach((name, at) => {
      const cluster = found[at];
      if (cluster) {
        clusters.set(name, same(clusters.get(name), cluster));
      } else {
        clusters.delete(name);
      }
    });
    const sorted = [...clusters.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.set({ clusters: sorted });
  }

  private set(change: Partial<Snapshot>): void {
    this.current = { ...this.current, ...change };
    this.listeners.forEach(listener => listener());
  }
}

/** The object that is there already, if the new one says the same. */
function same<T>(before: T | undefined, after: T): T {
  return before !== undefined && JSON.stringify(before) === JSON.stringify(after) ? before : after;
}
