// Static tracepoints (USDT), provider `uring_server`. Each has a semaphore that the kernel raises while a tracer is attached: detached,
// a probe costs one load and one branch that is never taken. Linux: <sys/sdt.h> of systemtap-sdt-dev.
#pragma once
#include <features.h>
#include <stdbool.h>
#include <stdint.h>

extern unsigned short uring_server_accept_semaphore, uring_server_parse_semaphore, uring_server_handler_start_semaphore,
    uring_server_handler_end_semaphore, uring_server_send_semaphore, uring_server_close_semaphore,
    uring_server_tls_start_semaphore, uring_server_tls_handshake_semaphore, uring_server_tls_failed_semaphore,
    uring_server_http2_begin_semaphore, uring_server_http2_goaway_semaphore, uring_server_turn_start_semaphore, uring_server_turn_end_semaphore;

void ur_fire_accept(uint64_t connection, int32_t fd, uint64_t ns);
void ur_fire_parse(uint64_t connection, uint64_t bytes, uint64_t ns);
void ur_fire_handler_start(uint64_t connection, uint64_t bytes, uint64_t ns);
// The name of the route, and its length: 0 without a route.
void ur_fire_handler_end(uint64_t connection, uint64_t bytes, uint64_t ns, const void *route, uint64_t route_bytes);
void ur_fire_send(uint64_t connection, uint64_t bytes, uint64_t ns);
void ur_fire_close(uint64_t connection, uint64_t bytes, uint64_t ns);
// A turn of a loop: completions that the kernel had ready, then the requests that were handled.
void ur_fire_turn_start(uint64_t loop, uint64_t ready, uint64_t ns);
void ur_fire_turn_end(uint64_t loop, uint64_t handled, uint64_t ns);

void ur_fire_tls_start(uint64_t connection, uint64_t bytes, uint64_t ns);
// `outcome` is the result, and the version above its eight bits. The phases are nanoseconds; what they mean is said at HandshakePhases.
void ur_fire_tls_handshake(uint64_t connection, uint32_t outcome, uint64_t hello, uint64_t flight, uint64_t computing, uint64_t total);
void ur_fire_tls_failed(uint64_t connection, uint32_t reason, uint32_t alert, uint64_t ns);
void ur_fire_http2_begin(uint64_t connection, uint32_t secure, uint64_t ns);
void ur_fire_http2_goaway(uint64_t connection, uint32_t code, uint64_t ns);

// The load is volatile: the kernel writes the counter from outside.
#define UR_PROBE_ENABLED(name) __builtin_expect(*(volatile unsigned short *)&uring_server_##name##_semaphore, 0)
static inline bool ur_probe_accept(void) { return UR_PROBE_ENABLED(accept); }
static inline bool ur_probe_parse(void) { return UR_PROBE_ENABLED(parse); }
static inline bool ur_probe_handler_start(void) { return UR_PROBE_ENABLED(handler_start); }
static inline bool ur_probe_handler_end(void) { return UR_PROBE_ENABLED(handler_end); }
static inline bool ur_probe_send(void) { return UR_PROBE_ENABLED(send); }
static inline bool ur_probe_close(void) { return UR_PROBE_ENABLED(close); }
static inline bool ur_probe_turn_start(void) { return UR_PROBE_ENABLED(turn_start); }
static inline bool ur_probe_turn_end(void) { return UR_PROBE_ENABLED(turn_end); }
static inline bool ur_probe_tls_start(void) { return UR_PROBE_ENABLED(tls_start); }
static inline bool ur_probe_tls_handshake(void) { return UR_PROBE_ENABLED(tls_handshake); }
static inline bool ur_probe_tls_failed(void) { return UR_PROBE_ENABLED(tls_failed); }
static inline bool ur_probe_http2_begin(void) { return UR_PROBE_ENABLED(http2_begin); }
static inline bool ur_probe_http2_goaway(void) { return UR_PROBE_ENABLED(http2_goaway); }
