// The HPACK layer; docs/ARCHITECTURE.md.
