// The TLS layer; docs/ARCHITECTURE.md.
