// Finding where responses end: status, Content-Length, chunked, until-close. Checks what a client would trip over and no
// more; it has to be light, since the generator must not be what is measured.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum response_state {
  RESPONSE_HEAD, RESPONSE_BODY, RESPONSE_UNTIL_CLOSE,
  RESPONSE_CHUNK_SIZE, RESPONSE_CHUNK_EXTENSION, RESPONSE_CHUNK_LF, RESPONSE_CHUNK_DATA, RESPONSE_CHUNK_CR, RESPONSE_CHUNK_END,
  RESPONSE_TRAILER_START, RESPONSE_TRAILER, RESPONSE_TRAILER_END,
};

enum response_result { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_BAD };

// One per connection; zeroed at connect. `head` is allocated once a head came in pieces and kept.
struct response_parser {
  enum response_state state;
  uint64_t left;       // of the body or the chunk
  uint64_t length;     // bytes of this response so far, head included
  unsigned status;
  bool closes;         // the server said that it closes after this one
  bool has_digits;     // of the chunk size
  char *head;
  uint32_t head_bytes;
};

// Takes bytes from `p[0..<n]` up to the end of one response; `*used` says how many. After RESPONSE_DONE status, length and
// closes describe the response until the next call.
enum response_result response_parse(struct response_parser *r, const char *p, size_t n, size_t *used);

// The connection ended. True if that was the end of a response.
bool response_ended_by_close(const struct response_parser *r);

// Nothing of a response has arrived.
bool response_is_between(const struct response_parser *r);
