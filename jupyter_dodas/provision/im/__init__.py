"""The Infrastructure Manager of the universities of Valencia and others: infrastructures on any cloud, by its REST interface."""
