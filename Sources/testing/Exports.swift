// What a test gets with `import UringTesting` alone: the library under test.

@_exported public import UringServer
