// The TCP tracer's program for the kernel (BPF_PROG_TYPE_SOCK_OPS, Linux 4.13; state and retransmits 4.16, round trips 5.3): counts the lives of TCP connections and their round trips, by the server's
// port. Attached to a cgroup of version 2; runs wherever the kernel calls it for a socket of that cgroup. Built by ./generate into tcptrace.generated.h.
//
// One map has all counts, so that its size bounds everything: key = side << 31 | port << 9 | slot. Slots 0 to 255 are the round trips' buckets; what follows them is in `enum slot`, and in
// TCPTracer.Slot of Sources/tcptrace. Maps are named by constants that the loader puts descriptors in the place of, so that no ELF file has to be read.

#include <linux/bpf.h>

#define BUCKETS 256
enum slot { SYN = BUCKETS, ESTABLISHED, CLOSED, RETRANSMITS, ABORTED };

// Maps, as the loader knows them.
#define COUNTS ((void *)0x7472616365000001ull)
#define BOUNDS ((void *)0x7472616365000002ull)
#define LOST ((void *)0x7472616365000003ull)

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*map_update)(void *map, const void *key, const void *value, unsigned long long flags) = (void *)BPF_FUNC_map_update_elem;
static long (*set_flags)(struct bpf_sock_ops *context, int flags) = (void *)BPF_FUNC_sock_ops_cb_flags_set;

#define FLAGS (BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG)
// Nothing is done when a timer runs out: the flag marks sockets that connected, whose server is the other end.
#define CONNECTED BPF_SOCK_OPS_RTO_CB_FLAG

static __always_inline void count(__u32 key) {
  __u64 *value = map_lookup(COUNTS, &key), one = 1;
  if (value) {
    __sync_fetch_and_add(value, 1);
  } else if (map_update(COUNTS, &key, &one, BPF_NOEXIST)) {
    // Another processor was first, or the map is full.
    __u32 zero = 0;
    value = map_lookup(COUNTS, &key);
    if (!value) value = map_lookup(LOST, &zero);
    if (value) __sync_fetch_and_add(value, 1);
  }
}

// The last bound that is not greater; what is below the first counts with it.
static __always_inline __u32 bucket(__u32 nanoseconds) {
  __u32 zero = 0, at = 0, *bounds = map_lookup(BOUNDS, &zero);
  if (!bounds) return 0;
#pragma unroll
  for (__u32 step = BUCKETS / 2; step > 0; step /= 2) {
    // A byte's worth: the verifier sees that it stays within the map.
    __u32 next = (at + step) & (BUCKETS - 1);
    if (bounds[next] <= nanoseconds) at = next;
  }
  return at;
}

__attribute__((section("sockops"), used)) int tcptrace(struct bpf_sock_ops *context) {
  int isServer = !(context->bpf_sock_ops_cb_flags & CONNECTED);
  switch (context->op) {
  case BPF_SOCK_OPS_TCP_CONNECT_CB:
  case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
    isServer = 0;
    break;
  }
  __u32 port = isServer ? context->local_port : __builtin_bswap32(context->remote_port);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  if (!isServer) port = context->remote_port;
#endif
  __u32 key = (isServer ? 0 : 1u << 31) | (port & 0xffff) << 9;
  switch (context->op) {
  case BPF_SOCK_OPS_TIMEOUT_INIT:
    // Of a request socket, which answers a SYN; of a full one this is the connect that is told below.
    if (!context->is_fullsock) count(key | SYN);
    break;
  case BPF_SOCK_OPS_TCP_CONNECT_CB:
    set_flags(context, FLAGS | CONNECTED);
    count(key | SYN);
    break;
  case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
    // Of a simultaneous open or one that began before the program was there, it is the first call.
    set_flags(context, FLAGS | CONNECTED);
    count(key | ESTABLISHED);
    break;
  case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
    set_flags(context, FLAGS);
    count(key | ESTABLISHED);
    break;
  case BPF_SOCK_OPS_STATE_CB:
    // From SYN_SENT: a connect that failed. From anywhere else: the end of a connection.
    if (context->args[1] == BPF_TCP_CLOSE) count(key | (context->args[0] == BPF_TCP_SYN_SENT ? ABORTED : CLOSED));
    break;
  case BPF_SOCK_OPS_RETRANS_CB:
    count(key | RETRANSMITS);
    break;
  case BPF_SOCK_OPS_RTT_CB: {
    // Smoothed, in eighths of a microsecond. 4.29 s and more are one.
    __u64 nanoseconds = (__u64)(context->srtt_us >> 3) * 1000;
    count(key | bucket(nanoseconds > 0xffffffff ? 0xffffffff : nanoseconds));
    break;
  }
  }
  // What the kernel asks programs for here is left to it. The last thing: the answer lies where the arguments do.
  context->reply = -1;
  return 1;
}

// The kernel lends some helpers to programs of a licence like its own alone; the ones above are lent to all.
