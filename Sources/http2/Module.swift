// The HTTP2 layer; docs/ARCHITECTURE.md.
