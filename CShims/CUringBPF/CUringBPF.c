#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "include/CUringBPF.h"
#include "tcptrace.generated.h"

static long call(enum bpf_cmd command, union bpf_attr *attributes) {
  // Attributes of a newer kernel that this one does not know are zero, and so are taken.
  long result = syscall(SYS_bpf, command, attributes, sizeof *attributes);
  return result < 0 ? -errno : result;
}

int ur_bpf_map(int hash, uint32_t value_size, uint32_t entries, const char *name) {
  union bpf_attr attributes = {0};
  attributes.map_type = hash ? BPF_MAP_TYPE_HASH : BPF_MAP_TYPE_ARRAY;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = value_size;
  attributes.max_entries = entries;
  strncpy(attributes.map_name, name, sizeof attributes.map_name - 1);
  return (int)call(BPF_MAP_CREATE, &attributes);
}

int ur_bpf_map_set(int map, uint32_t key, const void *value) {
  union bpf_attr attributes = {0};
  attributes.map_fd = (uint32_t)map;
  attributes.key = (uint64_t)(uintptr_t)&key;
  attributes.value = (uint64_t)(uintptr_t)value;
  return (int)call(BPF_MAP_UPDATE_ELEM, &attributes);
}

int ur_bpf_map_get(int map, uint32_t key, uint64_t *value) {
  union bpf_attr attributes = {0};
  attributes.map_fd = (uint32_t)map;
  attributes.key = (uint64_t)(uintptr_t)&key;
  attributes.value = (uint64_t)(uintptr_t)value;
  return (int)call(BPF_MAP_LOOKUP_ELEM, &attributes);
}

int ur_bpf_map_next(int map, const uint32_t *key, uint32_t *next) {
  union bpf_attr attributes = {0};
  attributes.map_fd = (uint32_t)map;
  attributes.key = (uint64_t)(uintptr_t)key;
  attributes.next_key = (uint64_t)(uintptr_t)next;
  return (int)call(BPF_MAP_GET_NEXT_KEY, &attributes);
}

int ur_tcptrace_load(int counts, int bounds, int lost, char *log, uint32_t log_size) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
  return -ENOTSUP;
#else
  enum { COUNT = sizeof ur_tcptrace_instructions / sizeof ur_tcptrace_instructions[0] };
  struct bpf_insn instructions[COUNT];
  _Static_assert(sizeof instructions == sizeof ur_tcptrace_instructions, "an instruction has 64 bits");
  memcpy(instructions, ur_tcptrace_instructions, sizeof instructions);
  int maps[] = {counts, bounds, lost};
  for (size_t at = 0; at + 1 < COUNT; at++) {
    // A constant of 64 bits takes two instructions: its halves are their immediates.
    if (instructions[at].code != (BPF_LD | BPF_DW | BPF_IMM)) continue;
    uint32_t low = (uint32_t)instructions[at].imm, high = (uint32_t)instructions[at + 1].imm;
    if (high == 0x74726163 && (low & 0xffffff00) == 0x65000000 && (low & 0xff) >= 1 && (low & 0xff) <= 3) {
      instructions[at].src_reg = BPF_PSEUDO_MAP_FD;
      instructions[at].imm = maps[(low & 0xff) - 1];
      instructions[at + 1].imm = 0;
    }
    at++;
  }
  union bpf_attr attributes = {0};
  attributes.prog_type = BPF_PROG_TYPE_SOCK_OPS;
  attributes.insns = (uint64_t)(uintptr_t)instructions;
  attributes.insn_cnt = COUNT;
  attributes.license = (uint64_t)(uintptr_t) "Apache-2.0";
  attributes.expected_attach_type = BPF_CGROUP_SOCK_OPS;
  strncpy(attributes.prog_name, "tcptrace", sizeof attributes.prog_name - 1);
  int program, tries = 0;
  // The verifier gives up when a signal comes.
  do program = (int)call(BPF_PROG_LOAD, &attributes);
  while (program == -EAGAIN && ++tries < 5);
  if (program >= 0 || program == -EPERM || log_size == 0) return program;
  // Once more, for the verifier's words.
  log[0] = 0;
  attributes.log_level = 1;
  attributes.log_buf = (uint64_t)(uintptr_t)log;
  attributes.log_size = log_size;
  return (int)call(BPF_PROG_LOAD, &attributes);
#endif
}

int ur_tcptrace_attach(int program, int cgroup) {
  union bpf_attr attributes = {0};
  attributes.link_create.prog_fd = (uint32_t)program;
  attributes.link_create.target_fd = (uint32_t)cgroup;
  attributes.link_create.attach_type = BPF_CGROUP_SOCK_OPS;
  return (int)call(BPF_LINK_CREATE, &attributes);
}
