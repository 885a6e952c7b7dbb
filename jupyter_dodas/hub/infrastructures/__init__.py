"""The service of infrastructures: what people have made for them at providers, kept and looked after beside the hub."""
