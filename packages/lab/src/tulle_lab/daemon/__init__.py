"""The lab's one long-lived process: the cluster, the node and the control socket, on trio."""
