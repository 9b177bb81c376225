#define _SDT_HAS_SEMAPHORES 1
#include "CUringBase.h"
#include <sys/sdt.h>

#define SEMAPHORE(name) __attribute__((section(".probes"), used, retain, visibility("default"))) unsigned short uring_server_##name##_semaphore
SEMAPHORE(accept);
SEMAPHORE(parse);
SEMAPHORE(handler_start);
SEMAPHORE(handler_end);
SEMAPHORE(send);
SEMAPHORE(close);
SEMAPHORE(turn_start);
SEMAPHORE(turn_end);
SEMAPHORE(tls_start);
SEMAPHORE(tls_handshake);
SEMAPHORE(tls_failed);
SEMAPHORE(http2_begin);
SEMAPHORE(http2_goaway);

__attribute__((used, retain)) void ur_fire_accept(uint64_t connection, int32_t fd, uint64_t ns) { STAP_PROBE3(uring_server, accept, connection, fd, ns); }
__attribute__((used, retain)) void ur_fire_parse(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, parse, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_handler_start(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, handler_start, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_handler_end(uint64_t connection, uint64_t bytes, uint64_t ns, const void *route, uint64_t route_bytes) {
  STAP_PROBE5(uring_server, handler_end, connection, bytes, ns, route, route_bytes);
}
__attribute__((used, retain)) void ur_fire_send(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, send, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_close(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, close, connection, bytes, ns); }

__attribute__((used, retain)) void ur_fire_turn_start(uint64_t loop, uint64_t ready, uint64_t ns) { STAP_PROBE3(uring_server, turn_start, loop, ready, ns); }
__attribute__((used, retain)) void ur_fire_turn_end(uint64_t loop, uint64_t handled, uint64_t ns) { STAP_PROBE3(uring_server, turn_end, loop, handled, ns); }

__attribute__((used, retain)) void ur_fire_tls_start(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, tls_start, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_tls_handshake(uint64_t connection, uint32_t outcome, uint64_t hello, uint64_t flight, uint64_t computing, uint64_t total) {
  // Six: bpftrace reads no more on x86-64.
  STAP_PROBE6(uring_server, tls_handshake, connection, outcome, hello, flight, computing, total);
}
__attribute__((used, retain)) void ur_fire_tls_failed(uint64_t connection, uint32_t reason, uint32_t alert, uint64_t ns) { STAP_PROBE4(uring_server, tls_failed, connection, reason, alert, ns); }
__attribute__((used, retain)) void ur_fire_http2_begin(uint64_t connection, uint32_t secure, uint64_t ns) { STAP_PROBE3(uring_server, http2_begin, connection, secure, ns); }
__attribute__((used, retain)) void ur_fire_http2_goaway(uint64_t connection, uint32_t code, uint64_t ns) { STAP_PROBE3(uring_server, http2_goaway, connection, code, ns); }
