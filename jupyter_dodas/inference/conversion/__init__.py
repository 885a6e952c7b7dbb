"""From what was uploaded to what is served: converted, compared and measured by a confined process."""
