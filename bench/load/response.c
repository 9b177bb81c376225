#define _GNU_SOURCE 1
#include "response.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_BYTES_MAX = 16 * 1024 };  // above what any peer sends; a longer head is counted as malformed

// What a head says about its response.
struct head {
  unsigned status;
  bool closes;
  enum response_state body;
  uint64_t length;
};

// Servers answer the same head again and again but for the second in which the date changes: comparing is cheaper than parsing.
static struct {
  struct head head;
  size_t bytes;
  char text[HEAD_BYTES_MAX];
} last;

static bool field_is(const char *line, size_t n, const char *name) {
  size_t k = strlen(name);
  return n > k && line[k] == ':' && strncasecmp(line, name, k) == 0;
}

static bool contains(const char *value, size_t n, const char *word) {
  size_t k = strlen(word);
  for (size_t i = 0; i + k <= n; i++)
    if (strncasecmp(value + i, word, k) == 0) return true;
  return false;
}

static bool parse_length(const char *v, size_t n, uint64_t *length) {
  while (n && *v == ' ') v++, n--;
  while (n && v[n - 1] == ' ') n--;
  if (!n || n > 18) return false;
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    if (v[i] < '0' || v[i] > '9') return false;
    sum = sum * 10 + (uint64_t)(v[i] - '0');
  }
  *length = sum;
  return true;
}

// `p[0..<n]` ends with the blank line.
static bool parse_head(const char *p, size_t n, struct head *h) {
  *h = (struct head){.body = RESPONSE_UNTIL_CLOSE};
  if (n < 16 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ') return false;
  for (int i = 9; i < 12; i++) {
    if (p[i] < '0' || p[i] > '9') return false;
    h->status = h->status * 10 + (unsigned)(p[i] - '0');
  }
  h->closes = p[7] == '0';
  const char *line = memchr(p, '\n', n), *end = p + n;
  bool chunked = false;
  while (line && ++line < end) {
    const char *stop = memchr(line, '\r', (size_t)(end - line));
    if (!stop || stop == line) break;
    size_t bytes = (size_t)(stop - line);
    if (field_is(line, bytes, "content-length")) {
      if (!parse_length(line + 15, bytes - 15, &h->length)) return false;
      if (!chunked) h->body = RESPONSE_BODY;
    } else if (field_is(line, bytes, "transfer-encoding")) {
      if (contains(line + 18, bytes - 18, "chunked")) {
        chunked = true;
        h->body = RESPONSE_CHUNK_SIZE;
      }
    } else if (field_is(line, bytes, "connection")) {
      if (contains(line + 11, bytes - 11, "close")) h->closes = true;
      if (contains(line + 11, bytes - 11, "keep-alive")) h->closes = false;
    }
    line = memchr(stop, '\n', (size_t)(end - stop));
  }
  if (h->status < 200 || h->status == 204 || h->status == 304) {
    h->body = RESPONSE_BODY;
    h->length = 0;
  }
  return true;
}

static bool take_head(const char *p, size_t n) {
  if (!parse_head(p, n, &last.head)) {
    last.bytes = 0;
    return false;
  }
  memcpy(last.text, p, n);
  last.bytes = n;
  return true;
}

static void apply(struct response_parser *r, const struct head *h) {
  r->status = h->status;
  r->closes = h->closes;
  r->state = h->body;
  r->left = h->length;
  r->has_digits = false;
}

static enum response_result parse_from_head(struct response_parser *r, const char *p, size_t n, size_t *used) {
  *used = 0;
  if (!r->head_bytes && last.bytes && n >= last.bytes && memcmp(p, last.text, last.bytes) == 0) {
    *used = last.bytes;
    apply(r, &last.head);
    return RESPONSE_DONE;
  }
  const char *blank;
  if (!r->head_bytes && (blank = memmem(p, n, "\r\n\r\n", 4))) {
    *used = (size_t)(blank + 4 - p);
    if (*used > HEAD_BYTES_MAX || !take_head(p, *used)) return RESPONSE_BAD;
    apply(r, &last.head);
    return RESPONSE_DONE;
  }
  if (!r->head && !(r->head = malloc(HEAD_BYTES_MAX))) return RESPONSE_BAD;
  size_t room = HEAD_BYTES_MAX - r->head_bytes, take = n < room ? n : room;
  memcpy(r->head + r->head_bytes, p, take);
  size_t from = r->head_bytes > 3 ? r->head_bytes - 3 : 0;
  blank = memmem(r->head + from, r->head_bytes + take - from, "\r\n\r\n", 4);
  if (!blank) {
    r->head_bytes += (uint32_t)take;
    *used = take;
    return r->head_bytes == HEAD_BYTES_MAX ? RESPONSE_BAD : RESPONSE_MORE;
  }
  size_t whole = (size_t)(blank + 4 - r->head);
  *used = whole - r->head_bytes;
  r->head_bytes = 0;
  if (!take_head(r->head, whole)) return RESPONSE_BAD;
  apply(r, &last.head);
  return RESPONSE_DONE;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// One byte of chunk framing.
static enum response_result chunk_step(struct response_parser *r, char c) {
  switch (r->state) {
    case RESPONSE_CHUNK_SIZE: {
      int digit = hex(c);
      if (digit >= 0) {
        if (r->left >> 56) return RESPONSE_BAD;
        r->left = r->left << 4 | (unsigned)digit;
        r->has_digits = true;
        return RESPONSE_MORE;
      }
      if (!r->has_digits) return RESPONSE_BAD;
      if (c == '\r') r->state = RESPONSE_CHUNK_LF;
      else if (c == ';' || c == ' ') r->state = RESPONSE_CHUNK_EXTENSION;
      else return RESPONSE_BAD;
      return RESPONSE_MORE;
    }
    case RESPONSE_CHUNK_EXTENSION:
      if (c == '\r') r->state = RESPONSE_CHUNK_LF;
      return RESPONSE_MORE;
    case RESPONSE_CHUNK_LF:
      if (c != '\n') return RESPONSE_BAD;
      r->state = r->left ? RESPONSE_CHUNK_DATA : RESPONSE_TRAILER_START;
      return RESPONSE_MORE;
    case RESPONSE_CHUNK_CR:
      if (c != '\r') return RESPONSE_BAD;
      r->state = RESPONSE_CHUNK_END;
      return RESPONSE_MORE;
    case RESPONSE_CHUNK_END:
      if (c != '\n') return RESPONSE_BAD;
      r->state = RESPONSE_CHUNK_SIZE;
      r->left = 0;
      r->has_digits = false;
      return RESPONSE_MORE;
    case RESPONSE_TRAILER_START:
      r->state = c == '\r' ? RESPONSE_TRAILER_END : RESPONSE_TRAILER;
      return RESPONSE_MORE;
    case RESPONSE_TRAILER:
      if (c == '\n') r->state = RESPONSE_TRAILER_START;
      return RESPONSE_MORE;
    case RESPONSE_TRAILER_END: return c == '\n' ? RESPONSE_DONE : RESPONSE_BAD;
    case RESPONSE_HEAD:
    case RESPONSE_BODY:
    case RESPONSE_UNTIL_CLOSE:
    case RESPONSE_CHUNK_DATA: break;
  }
  return RESPONSE_BAD;
}

enum response_result response_parse(struct response_parser *r, const char *p, size_t n, size_t *used) {
  size_t at = 0, step;
  enum response_result result = RESPONSE_MORE;
  if (r->state == RESPONSE_HEAD && !r->head_bytes) r->length = 0;
  while (result == RESPONSE_MORE) {
    if (r->state == RESPONSE_HEAD) {
      if (at == n) break;
      result = parse_from_head(r, p + at, n - at, &step);
      at += step;
      if (result != RESPONSE_DONE) break;
      result = RESPONSE_MORE;
      if (r->status < 200) r->state = RESPONSE_HEAD;  // interim: the response follows
      continue;
    }
    if (r->state == RESPONSE_BODY || r->state == RESPONSE_CHUNK_DATA) {
      step = n - at < r->left ? n - at : (size_t)r->left;
      at += step;
      r->left -= step;
      if (r->left) break;
      if (r->state == RESPONSE_BODY) result = RESPONSE_DONE;
      else r->state = RESPONSE_CHUNK_CR;
      continue;
    }
    if (at == n) break;
    if (r->state == RESPONSE_UNTIL_CLOSE) {
      at = n;
      break;
    }
    result = chunk_step(r, p[at++]);
  }
  r->length += at;
  *used = at;
  if (result == RESPONSE_DONE) r->state = RESPONSE_HEAD;
  return result;
}

bool response_ended_by_close(const struct response_parser *r) { return r->state == RESPONSE_UNTIL_CLOSE; }

bool response_is_between(const struct response_parser *r) { return r->state == RESPONSE_HEAD && !r->head_bytes; }
