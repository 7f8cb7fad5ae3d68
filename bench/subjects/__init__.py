"""The proxies that are measured: each a class that writes its configuration, starts it, and knows what to dial."""
