// The calls of bpf(2) that the TCP tracer needs, which glibc has no functions for, and its program. Each answers a negative errno on failure. No policy, and no libbpf: the program refers to
// three maps and nothing else, so that nothing of an ELF file has to be read.
#pragma once
#include <features.h>
#include <stddef.h>
#include <stdint.h>

/// BPF_MAP_CREATE with keys of 32 bits. `hash`: a hash map, otherwise an array. Answers a descriptor, closed on exec.
int ur_bpf_map(int hash, uint32_t value_size, uint32_t entries, const char *name);

/// BPF_MAP_UPDATE_ELEM; `value` has the map's size. 0 on success.
int ur_bpf_map_set(int map, uint32_t key, const void *value);

/// The value under `key`, for maps whose values have 64 bits. 0 on success.
int ur_bpf_map_get(int map, uint32_t key, uint64_t *value);

/// The key behind `key` of a hash map, or its first with NULL. 0 on success, -ENOENT at the end. Keys of which none is ever removed come once each.
int ur_bpf_map_next(int map, const uint32_t *key, uint32_t *next);

/// BPF_PROG_LOAD of the TCP tracer's program with these maps in place. Answers a descriptor. `log` gets what the verifier says, when it refuses.
int ur_tcptrace_load(int counts, int bounds, int lost, char *log, uint32_t log_size);

/// BPF_LINK_CREATE (Linux 5.7): runs the program for the sockets of a cgroup of version 2, beside others that are there, as long as the descriptor that is answered is open.
int ur_tcptrace_attach(int program, int cgroup);
