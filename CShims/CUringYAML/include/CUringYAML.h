// libyaml's event parser, as far as Swift cannot call it itself: yaml_event_t and yaml_parser_t hold anonymous unions, and
// a parser must not move in memory. No policy: limits, duplicate keys and aliases are judged by the caller.
#pragma once
#include <features.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One parser over bytes that the caller keeps alive and unchanged until uring_yaml_close.
typedef struct uring_yaml_reader uring_yaml_reader;

typedef enum {
  uring_yaml_stream_start,
  uring_yaml_stream_end,
  uring_yaml_document_start,
  uring_yaml_document_end,
  uring_yaml_alias,
  uring_yaml_scalar,
  uring_yaml_sequence_start,
  uring_yaml_sequence_end,
  uring_yaml_mapping_start,
  uring_yaml_mapping_end,
} uring_yaml_event_kind;

typedef enum {
  uring_yaml_plain,
  uring_yaml_single_quoted,
  uring_yaml_double_quoted,
  uring_yaml_literal,
  uring_yaml_folded,
} uring_yaml_scalar_style;

/// The fields of one event. Pointers belong to the reader and end with the next call of uring_yaml_next or _close.
typedef struct {
  uring_yaml_event_kind kind;
  uring_yaml_scalar_style style;
  size_t line;            ///< of the first character, counted from 0
  size_t column;          ///< in characters, counted from 0
  const uint8_t *value;   ///< scalar text, not terminated: value_count bytes; null for other kinds
  size_t value_count;
  const char *anchor;     ///< anchor defined here, or the name an alias refers to; null when there is none
  const char *tag;        ///< resolved tag, or null
} uring_yaml_event;

typedef enum {
  uring_yaml_out_of_memory,
  uring_yaml_not_utf8,    ///< the bytes are not UTF-8 or hold a character YAML forbids; `offset` is valid, line and column are not
  uring_yaml_syntax,      ///< line and column are valid
} uring_yaml_problem_kind;

/// Why uring_yaml_next returned false. The texts are static strings of libyaml.
typedef struct {
  uring_yaml_problem_kind kind;
  const char *problem;
  const char *context;    ///< may be null
  size_t context_line;    ///< where what `context` names began, counted from 0
  size_t context_column;
  size_t line;
  size_t column;
  size_t offset;          ///< byte offset, for uring_yaml_not_utf8
} uring_yaml_problem;

/// A reader over `bytes`, or null when memory ran out. The input is taken as UTF-8; a byte order mark is skipped.
uring_yaml_reader *uring_yaml_open(const uint8_t *bytes, size_t count);

/// Frees the reader and the last event. Null is allowed.
void uring_yaml_close(uring_yaml_reader *reader);

/// The next event; false on an error, which uring_yaml_get_problem describes and after which no event follows.
bool uring_yaml_next(uring_yaml_reader *reader, uring_yaml_event *out);

void uring_yaml_get_problem(const uring_yaml_reader *reader, uring_yaml_problem *out);
