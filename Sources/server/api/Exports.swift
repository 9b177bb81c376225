// What a program gets with `import UringServer` alone: methods and statuses live in UringHTTP, and clients that build with
// MemberImportVisibility could not write `.ok` without it.

@_exported public import UringHTTP
