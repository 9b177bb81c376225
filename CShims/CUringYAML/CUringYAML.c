#include "CUringYAML.h"
#include <stdlib.h>
#include <yaml.h>

struct uring_yaml_reader {
  yaml_parser_t parser;
  yaml_event_t event;
  bool holds_event;
};

uring_yaml_reader *uring_yaml_open(const uint8_t *bytes, size_t count) {
  uring_yaml_reader *reader = calloc(1, sizeof *reader);
  if (!reader) return NULL;
  if (!yaml_parser_initialize(&reader->parser)) {
    free(reader);
    return NULL;
  }
  // Without this, libyaml would guess UTF-16 from the first bytes.
  yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&reader->parser, bytes, count);
  return reader;
}

static void drop_event(uring_yaml_reader *reader) {
  if (reader->holds_event) yaml_event_delete(&reader->event);
  reader->holds_event = false;
}

void uring_yaml_close(uring_yaml_reader *reader) {
  if (!reader) return;
  drop_event(reader);
  yaml_parser_delete(&reader->parser);
  free(reader);
}

static uring_yaml_scalar_style style_of(yaml_scalar_style_t style) {
  switch (style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE: return uring_yaml_single_quoted;
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE: return uring_yaml_double_quoted;
    case YAML_LITERAL_SCALAR_STYLE: return uring_yaml_literal;
    case YAML_FOLDED_SCALAR_STYLE: return uring_yaml_folded;
    default: return uring_yaml_plain;
  }
}

static void take_properties(uring_yaml_event *out, uring_yaml_event_kind kind, const yaml_char_t *anchor, const yaml_char_t *tag) {
  out->kind = kind;
  out->anchor = (const char *)anchor;
  out->tag = (const char *)tag;
}

bool uring_yaml_next(uring_yaml_reader *reader, uring_yaml_event *out) {
  drop_event(reader);
  *out = (uring_yaml_event){0};
  if (!yaml_parser_parse(&reader->parser, &reader->event)) return false;
  reader->holds_event = true;
  const yaml_event_t *event = &reader->event;
  out->line = event->start_mark.line;
  out->column = event->start_mark.column;
  switch (event->type) {
    case YAML_STREAM_START_EVENT: out->kind = uring_yaml_stream_start; break;
    // After the end of the stream libyaml returns empty events for ever.
    case YAML_NO_EVENT:
    case YAML_STREAM_END_EVENT: out->kind = uring_yaml_stream_end; break;
    case YAML_DOCUMENT_START_EVENT: out->kind = uring_yaml_document_start; break;
    case YAML_DOCUMENT_END_EVENT: out->kind = uring_yaml_document_end; break;
    case YAML_ALIAS_EVENT: take_properties(out, uring_yaml_alias, event->data.alias.anchor, NULL); break;
    case YAML_SCALAR_EVENT:
      take_properties(out, uring_yaml_scalar, event->data.scalar.anchor, event->data.scalar.tag);
      out->style = style_of(event->data.scalar.style);
      out->value = event->data.scalar.value;
      out->value_count = event->data.scalar.length;
      break;
    case YAML_SEQUENCE_START_EVENT:
      take_properties(out, uring_yaml_sequence_start, event->data.sequence_start.anchor, event->data.sequence_start.tag);
      break;
    case YAML_SEQUENCE_END_EVENT: out->kind = uring_yaml_sequence_end; break;
    case YAML_MAPPING_START_EVENT:
      take_properties(out, uring_yaml_mapping_start, event->data.mapping_start.anchor, event->data.mapping_start.tag);
      break;
    case YAML_MAPPING_END_EVENT: out->kind = uring_yaml_mapping_end; break;
  }
  return true;
}

void uring_yaml_get_problem(const uring_yaml_reader *reader, uring_yaml_problem *out) {
  const yaml_parser_t *parser = &reader->parser;
  *out = (uring_yaml_problem){
      .problem = parser->problem ? parser->problem : "unknown error",
      .context = parser->context,
      .context_line = parser->context_mark.line,
      .context_column = parser->context_mark.column,
      .line = parser->problem_mark.line,
      .column = parser->problem_mark.column,
      .offset = parser->problem_offset,
  };
  switch (parser->error) {
    case YAML_MEMORY_ERROR: out->kind = uring_yaml_out_of_memory; break;
    case YAML_READER_ERROR: out->kind = uring_yaml_not_utf8; break;
    default: out->kind = uring_yaml_syntax; break;
  }
}
