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

__attribute__((used, retain)) void ur_fire_accept(uint64_t connection, int32_t fd, uint64_t ns) { STAP_PROBE3(uring_server, accept, connection, fd, ns); }
__attribute__((used, retain)) void ur_fire_parse(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, parse, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_handler_start(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, handler_start, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_handler_end(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, handler_end, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_send(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, send, connection, bytes, ns); }
__attribute__((used, retain)) void ur_fire_close(uint64_t connection, uint64_t bytes, uint64_t ns) { STAP_PROBE3(uring_server, close, connection, bytes, ns); }
