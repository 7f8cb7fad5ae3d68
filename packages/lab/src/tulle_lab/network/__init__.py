"""The network's part: addresses, links, Service rules (kube-proxy) and names (CoreDNS)."""
