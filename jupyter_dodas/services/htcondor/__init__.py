"""HTCondor: pools for batch jobs, with daemons of the cluster's own."""
