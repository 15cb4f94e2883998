/* SPDX-License-Identifier: MIT */
/*
 * The request parser: an array of bulk strings here, inline commands in inline.c. A pure function
 * of its bytes and the parser; any thread that owns the parser.
 *
 * The one idea: nearly every length line is a character, up to five digits, CR and LF, so it fits
 * one 8-byte load and is decoded without a loop, and nearly every request begins with two such
 * lines of one digit each, which fit one load together (read_whole_request). Whatever doesn't fit
 * that pattern, errors included, takes the slow path, which alone knows the rules. A request that
 * stops half-way keeps its views as offsets, because the bytes may move before the next call.
 *
 * The limits, the order of the checks and the words are those of Redis 7.0, found by asking one: a
 * NUL hides what follows it on a length line, numbers have no leading zero and no plus sign. In one
 * point this parser is stricter: CR must be followed by LF and an argument by CR LF, where Redis
 * skips two bytes unseen and may take data for requests.
 */
#include <stdio.h>
#include <string.h>

#include <rota/memory.h>

#include "protocols/resp/resp_internal.h"

/* bulk_bytes_ when a length line comes next. */
#define NO_BULK SIZE_MAX

#define CRLF_BYTES 2

/* Views in the first array that a request of many arguments gets. */
#define FIRST_ARGS 32

static inline size_t read_whole_request(struct rota_resp_parser *parser, struct rota_view input);
static int64_t read_header(struct rota_resp_parser *parser, struct rota_view input);
static int64_t read_args(struct rota_resp_parser *parser, struct rota_view input);
static int64_t read_bulk_length(struct rota_resp_parser *parser, const char *line,
				size_t available_bytes);
static void start_request(struct rota_resp_parser *parser);

void rota_resp_parser_init(struct rota_resp_parser *parser, const struct rota_resp_limits *limits,
			   struct rota_view *args, uint32_t capacity)
{
	parser->limits = limits;
	parser->is_unauthenticated = false;
	parser->args = args;
	parser->capacity_ = capacity;
	start_request(parser);
}

void rota_resp_parser_next(struct rota_resp_parser *parser)
{
	ROTA_ASSERT(!parser->owns_memory);
	parser->args += parser->count;
	parser->capacity_ -= parser->count;
	start_request(parser);
}

void rota_resp_parser_fini(struct rota_resp_parser *parser)
{
	if (parser->args_are_owned_)
		rota_free(parser->args);
	rota_free(parser->unescaped_);
	rota_resp_parser_init(parser, parser->limits, NULL, 0);
}

int64_t rota_resp_parse(struct rota_resp_parser *parser, struct rota_view input)
{
	if (ROTA_LIKELY(!parser->args_total_)) {
		size_t request_bytes = read_whole_request(parser, input);
		int64_t header_bytes;

		if (ROTA_LIKELY(request_bytes))
			return (int64_t)request_bytes;
		if (!input.bytes) {
			parser->need_bytes = 1;
			return 0;
		}
		if (input.data[0] != '*')
			return rota__resp_parse_inline(parser, input);
		header_bytes = read_header(parser, input);
		if (header_bytes <= 0 || !parser->args_total_)
			return header_bytes;
	}
	return read_args(parser, input);
}

static void start_request(struct rota_resp_parser *parser)
{
	parser->owns_memory = false;
	parser->args_are_owned_ = false;
	parser->count = 0;
	parser->args_total_ = 0;
	parser->need_bytes = 0;
	parser->position_ = 0;
	parser->scanned_bytes_ = 0;
	parser->bulk_bytes_ = NO_BULK;
	parser->unescaped_ = NULL;
}

int64_t rota__resp_fail(struct rota_resp_parser *parser, int status, const char *words)
{
	int length = snprintf(parser->error, sizeof(parser->error), "%s", words);

	ROTA_DCHECK(length < (int)sizeof(parser->error));
	return status;
}

static int64_t refuse(struct rota_resp_parser *parser, const char *words)
{
	return rota__resp_fail(parser, -ROTA_EPROTOCOL, words);
}

/* ---- length lines ---- */

static inline uint64_t load_little_endian_64(const char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(word) : word;
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/*
 * The line "<prefix>digits\r\n" with 1 to 5 digits, its first 8 bytes in `word`. Returns its bytes,
 * or 0 when it is anything else. The arithmetic on eight digits at once: Lemire, "Quickly parsing
 * eight digits" (2018).
 */
static ROTA_NOINLINE size_t decode_five_digits(uint64_t word, char prefix, size_t *value)
{
	uint64_t not_cr = word ^ EACH_BYTE('\r');
	/* The lowest bit set is at the first CR; above it there may be false ones. */
	uint64_t cr = (not_cr - EACH_BYTE(1)) & ~not_cr & EACH_BYTE(0x80);
	uint64_t digits;
	unsigned cr_bit;

	if (ROTA_UNLIKELY(!cr || (char)(word & 0xff) != prefix))
		return 0;
	cr_bit = (unsigned)__builtin_ctzll(cr) & ~7u;
	if (ROTA_UNLIKELY(cr_bit < 16 || cr_bit > 48 || (word >> cr_bit >> 8 & 0xff) != '\n'))
		return 0;
	if (ROTA_UNLIKELY((word >> 8 & 0xff) == '0' && cr_bit > 16))
		return 0;
	/* The digits' values, the last in the top byte, zeros below the first. */
	digits = ((word >> 8) ^ EACH_BYTE('0')) << (72 - cr_bit);
	if (ROTA_UNLIKELY(((digits + EACH_BYTE(0x7f - 9)) | digits) & EACH_BYTE(0x80)))
		return 0;
	digits = digits * 10 + (digits >> 8);
	*value = (size_t)(((digits & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
			   ((digits >> 16) & UINT64_C(0x000000ff000000ff)) *
				   UINT64_C(0x0000271000000001)) >>
			  32);
	return cr_bit / 8 + CRLF_BYTES;
}

/* The same for a line of 8 readable bytes, the commonest first: one digit, two digits. */
static inline size_t decode_short_length(const char *line, char prefix, size_t *value)
{
	uint64_t word = load_little_endian_64(line);
	uint64_t type = (unsigned char)prefix;
	uint64_t first = (word >> 8 & 0xff) - '0';
	uint64_t second = (word >> 16 & 0xff) - '0';

	if ((word & 0xffff00ff) == (type | '\r' << 16 | '\n' << 24) && first <= 9) {
		*value = first;
		return 2 + CRLF_BYTES;
	}
	if ((word & 0xffff0000ff) == (type | '\r' << 24 |
				      (uint64_t)'\n'
					      << 32) &&
	    first - 1 <= 8 && second <= 9) {
		*value = first * 10 + second;
		return 3 + CRLF_BYTES;
	}
	return decode_five_digits(word, prefix, value);
}

/* Whether CR LF stand at `at`. */
static inline bool is_line_end(const char *at)
{
	return !memcmp(at, "\r\n", CRLF_BYTES);
}

/* What nearly every request begins with, "*2\r\n$3\r\n", but for the two digits. */
#define USUAL_START_BYTES ((size_t)2 * (2 + CRLF_BYTES))
#define USUAL_START_MASK UINT64_C(0xffff00ffffff00ff)
#define USUAL_START                                                                                \
	('*' | '\r' << 16 | '\n' << 24 | (uint64_t)'$' << 32 | (uint64_t)'\r' << 48 |              \
	 (uint64_t)'\n'                                                                            \
		 << 56)

static inline size_t usual_count(uint64_t start)
{
	return (start >> 8 & 0xff) - '0';
}

static inline size_t usual_name_bytes(uint64_t start)
{
	return (start >> 40 & 0xff) - '0';
}

/*
 * A request of at most nine arguments, the first of at most nine bytes, that is all there: "*2\r\n"
 * "$3\r\nGET\r\n" and so on. Returns its bytes, or 0, with nothing changed, when it is anything
 * else.
 */
static inline size_t read_whole_request(struct rota_resp_parser *parser, struct rota_view input)
{
	const struct rota_resp_limits *limits = parser->limits;
	/* Locals, or each store through `args` would make the compiler load them again. */
	const char *at = input.data, *end = input.data + input.bytes;
	struct rota_view *args = parser->args;
	size_t count, bytes, line_bytes = USUAL_START_BYTES;
	uint64_t word;

	if (ROTA_UNLIKELY(input.bytes < line_bytes))
		return 0;
	word = load_little_endian_64(at);
	count = usual_count(word);
	bytes = usual_name_bytes(word);
	if (ROTA_UNLIKELY((word & USUAL_START_MASK) != USUAL_START || count - 1 > 8 || bytes > 9 ||
			  count > parser->capacity_ || count > limits->args_max ||
			  input.bytes > limits->request_bytes_max || parser->is_unauthenticated))
		return 0;
	for (size_t i = 0;;) {
		const char *data = at + line_bytes;

		if (ROTA_UNLIKELY((size_t)(end - data) < bytes + CRLF_BYTES ||
				  bytes > limits->bulk_bytes_max || !is_line_end(data + bytes)))
			return 0;
		args[i++] = rota_view_of(data, bytes);
		at = data + bytes + CRLF_BYTES;
		if (i == count)
			break;
		if (ROTA_UNLIKELY((size_t)(end - at) < sizeof(word)))
			return 0;
		line_bytes = decode_short_length(at, '$', &bytes);
		if (ROTA_UNLIKELY(!line_bytes || (size_t)(end - at) < line_bytes))
			return 0;
	}
	parser->count = (uint32_t)count;
	return (size_t)(at - input.data);
}

struct rota_view rota_resp_peek_key(struct rota_view input)
{
	const struct rota_view none = { 0 };
	size_t at, line_bytes, bytes;
	uint64_t word;

	if (input.bytes < USUAL_START_BYTES)
		return none;
	word = load_little_endian_64(input.data);
	at = USUAL_START_BYTES + usual_name_bytes(word) + CRLF_BYTES;
	if ((word & USUAL_START_MASK) != USUAL_START || usual_count(word) < 2 ||
	    usual_name_bytes(word) > 9 || input.bytes < at + sizeof(word))
		return none;
	line_bytes = decode_short_length(input.data + at, '$', &bytes);
	at += line_bytes;
	if (!line_bytes || input.bytes < at || input.bytes - at < bytes)
		return none;
	return rota_view_of(input.data + at, bytes);
}

/*
 * The integer that is all of `text`: no blanks, no plus, no leading zeros, within int64_t. False
 * for anything else.
 */
static bool decode_integer(struct rota_view text, int64_t *value)
{
	bool is_negative = text.bytes && text.data[0] == '-';
	size_t i = is_negative;
	int64_t sum = 0;

	if (text.bytes == 1 && text.data[0] == '0') {
		*value = 0;
		return true;
	}
	if (i == text.bytes || text.data[i] < '1' || text.data[i] > '9')
		return false;
	/* Summed below zero, where there is room for one more. */
	for (; i < text.bytes; i++) {
		int digit = text.data[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_sub_overflow(sum, digit, &sum))
			return false;
	}
	if (!is_negative && sum == INT64_MIN)
		return false;
	*value = is_negative ? sum : -sum;
	return true;
}

int64_t rota__resp_find_line_end(struct rota_resp_parser *parser, const char *line,
				 size_t available_bytes, char terminator, const char *too_long)
{
	size_t scanned = parser->scanned_bytes_;
	size_t limit = rota_min_size(available_bytes, ROTA_RESP_LINE_BYTES_MAX + 1);
	const char *end = memchr(line + scanned, terminator, limit - scanned);
	const char *nul = memchr(line + scanned, 0,
				 end ? (size_t)(end - line) - scanned : limit - scanned);

	if (end && !nul)
		return end - line + 1;
	if (available_bytes > ROTA_RESP_LINE_BYTES_MAX)
		return refuse(parser, too_long);
	/*
	 * Behind a NUL no terminator counts, so only the limit can end this line: look at the NUL
	 * again, no further.
	 */
	parser->scanned_bytes_ = nul ? (size_t)(nul - line) : limit;
	parser->need_bytes = parser->position_ +
			     (nul ? ROTA_RESP_LINE_BYTES_MAX : available_bytes) + 1;
	return 0;
}

/*
 * The bytes of the length line at `line` up to and with CR, when LF or what stands in its place is
 * there too.
 */
static int64_t find_length_line(struct rota_resp_parser *parser, const char *line,
				size_t available_bytes, const char *too_long)
{
	int64_t bytes = rota__resp_find_line_end(parser, line, available_bytes, '\r', too_long);

	if (bytes <= 0 || (size_t)bytes < available_bytes)
		return bytes;
	parser->scanned_bytes_ = (size_t)bytes - 1;
	parser->need_bytes = parser->position_ + (size_t)bytes + 1;
	return 0;
}

/* Step over the line whose CR is `cr_bytes` - 1 bytes behind `line`. */
static int64_t finish_length_line(struct rota_resp_parser *parser, const char *line,
				  size_t cr_bytes)
{
	if (line[cr_bytes] != '\n')
		return refuse(parser, "Protocol error: expected LF after CR");
	parser->position_ += cr_bytes + 1;
	parser->scanned_bytes_ = 0;
	return (int64_t)parser->position_;
}

/*
 * Any "*<count>\r\n". Returns position_ behind it, 0 or an error; args_total_ stays 0 when there
 * are no arguments.
 */
static ROTA_NOINLINE int64_t read_header(struct rota_resp_parser *parser, struct rota_view input)
{
	size_t args_max = parser->limits->args_max;
	int64_t cr_bytes, value, status;

	cr_bytes = find_length_line(parser, input.data, input.bytes,
				    "Protocol error: too big mbulk count string");
	if (cr_bytes <= 0)
		return cr_bytes;
	if (!decode_integer(rota_view_of(input.data + 1, (size_t)cr_bytes - 2), &value) ||
	    value > (int64_t)args_max)
		return refuse(parser, "Protocol error: invalid multibulk length");
	if (parser->is_unauthenticated && value > (int64_t)parser->limits->unauthenticated_args_max)
		return refuse(parser, "Protocol error: unauthenticated multibulk length");
	status = finish_length_line(parser, input.data, (size_t)cr_bytes);
	if (status > 0 && value > 0)
		parser->args_total_ = (uint32_t)value;
	return status;
}

/*
 * "$<bytes>\r\n" at `line`: sets bulk_bytes_ and position_ behind it. Returns > 0, 0 or an error.
 */
static int64_t read_bulk_length(struct rota_resp_parser *parser, const char *line,
				size_t available_bytes)
{
	const struct rota_resp_limits *limits = parser->limits;
	int64_t cr_bytes, value, status;

	cr_bytes = find_length_line(parser, line, available_bytes,
				    "Protocol error: too big bulk count string");
	if (cr_bytes <= 0)
		return cr_bytes;
	if (line[0] != '$') {
		bool is_break = line[0] == '\r' || line[0] == '\n';

		snprintf(parser->error, sizeof(parser->error),
			 "Protocol error: expected '$', got '%c'", is_break ? ' ' : line[0]);
		return -ROTA_EPROTOCOL;
	}
	if (!decode_integer(rota_view_of(line + 1, (size_t)cr_bytes - 2), &value) || value < 0 ||
	    (uint64_t)value > limits->bulk_bytes_max)
		return refuse(parser, "Protocol error: invalid bulk length");
	if (parser->is_unauthenticated && (uint64_t)value > limits->unauthenticated_bulk_bytes_max)
		return refuse(parser, "Protocol error: unauthenticated bulk length");
	status = finish_length_line(parser, line, (size_t)cr_bytes);
	if (status > 0)
		parser->bulk_bytes_ = (size_t)value;
	return status;
}

/* ---- arguments ---- */

int rota__resp_grow_args(struct rota_resp_parser *parser, uint32_t args_max)
{
	uint64_t capacity = (uint64_t)parser->count + parser->count / 2;
	struct rota_view *args;

	if (capacity < FIRST_ARGS)
		capacity = FIRST_ARGS;
	if (capacity > args_max)
		capacity = args_max;
	ROTA_DCHECK(capacity > parser->count);
	args = rota_realloc(parser->args_are_owned_ ? parser->args : NULL,
			    (size_t)capacity * sizeof(*args));
	if (!args)
		return (int)rota__resp_fail(parser, -ENOMEM, "out of memory for a request");
	if (!parser->args_are_owned_ && parser->count)
		memcpy(args, parser->args, parser->count * sizeof(*args));
	parser->args = args;
	parser->capacity_ = (uint32_t)capacity;
	parser->args_are_owned_ = true;
	parser->owns_memory = true;
	return 0;
}

int rota__resp_own_args(struct rota_resp_parser *parser)
{
	if (parser->args_are_owned_)
		return 0;
	if (parser->count)
		return rota__resp_grow_args(parser, UINT32_MAX);
	parser->args = NULL;
	parser->capacity_ = 0;
	return 0;
}

/* Turn views [first, last) into offsets from `base`, because the bytes may move. */
static void make_offsets(struct rota_view *args, uint32_t first, uint32_t last, const char *base)
{
	for (uint32_t i = first; i < last; i++)
		args[i].data = (const char *)(uintptr_t)(args[i].data - base);
}

/* And back. */
static void make_pointers(struct rota_view *args, uint32_t count, const char *base)
{
	for (uint32_t i = 0; i < count; i++)
		args[i].data = base + (uintptr_t)args[i].data;
}

/*
 * Read arguments into args[count..] as long as each is whole, has a short length line and needs no
 * memory. What it stops at is for read_arg to judge.
 */
static inline void read_short_args(struct rota_resp_parser *parser, struct rota_view input,
				   uint64_t bulk_bytes_max)
{
	/* Locals, or each store through `args` would make the compiler load them again. */
	size_t end = input.bytes < parser->limits->request_bytes_max
			     ? input.bytes
			     : (size_t)parser->limits->request_bytes_max;
	uint32_t count_max = parser->args_total_ < parser->capacity_ ? parser->args_total_
								     : parser->capacity_;
	struct rota_view *args = parser->args;
	uint32_t count = parser->count;
	size_t position = parser->position_;

	while (count < count_max && position + sizeof(uint64_t) <= end) {
		const char *line = input.data + position;
		size_t bytes, line_bytes = decode_short_length(line, '$', &bytes);
		const char *data = line + line_bytes;

		if (ROTA_UNLIKELY(!line_bytes || bytes > bulk_bytes_max ||
				  position + line_bytes + bytes + CRLF_BYTES > end ||
				  !is_line_end(data + bytes)))
			break;
		args[count++] = rota_view_of(data, bytes);
		position += line_bytes + bytes + CRLF_BYTES;
	}
	if (position != parser->position_)
		parser->scanned_bytes_ = 0;
	parser->count = count;
	parser->position_ = position;
}

/* Read any argument into args[count]. Returns > 0, 0 or an error. */
static ROTA_NOINLINE int64_t read_arg(struct rota_resp_parser *parser, struct rota_view input)
{
	const char *data;
	size_t bytes, end;

	if (parser->bulk_bytes_ == NO_BULK) {
		int64_t status = read_bulk_length(parser, input.data + parser->position_,
						  input.bytes - parser->position_);

		if (status <= 0)
			return status;
	}
	bytes = parser->bulk_bytes_;
	end = parser->position_ + bytes + CRLF_BYTES;
	if (ROTA_UNLIKELY(end > parser->limits->request_bytes_max))
		return rota__resp_fail(parser, -EMSGSIZE, "Protocol error: too big request");
	if (end > input.bytes) {
		parser->need_bytes = end;
		return 0;
	}
	data = input.data + parser->position_;
	if (ROTA_UNLIKELY(!is_line_end(data + bytes)))
		return refuse(parser, "Protocol error: expected CR LF after bulk");
	if (ROTA_UNLIKELY(parser->count == parser->capacity_)) {
		int status = rota__resp_grow_args(parser, parser->args_total_);

		if (status < 0)
			return status;
	}
	parser->args[parser->count++] = rota_view_of(data, bytes);
	parser->position_ = end;
	parser->bulk_bytes_ = NO_BULK;
	return (int64_t)end;
}

static int64_t read_args(struct rota_resp_parser *parser, struct rota_view input)
{
	const struct rota_resp_limits *limits = parser->limits;
	uint64_t bulk_bytes_max = limits->bulk_bytes_max;
	uint32_t earlier = parser->count;
	int64_t status;

	if (parser->is_unauthenticated && bulk_bytes_max > limits->unauthenticated_bulk_bytes_max)
		bulk_bytes_max = limits->unauthenticated_bulk_bytes_max;
	do {
		if (ROTA_LIKELY(parser->bulk_bytes_ == NO_BULK))
			read_short_args(parser, input, bulk_bytes_max);
		status = (int64_t)parser->position_;
		if (ROTA_UNLIKELY(parser->count < parser->args_total_))
			status = read_arg(parser, input);
	} while (status > 0 && parser->count < parser->args_total_);

	if (ROTA_UNLIKELY(status <= 0))
		make_offsets(parser->args, earlier, parser->count, input.data);
	else if (ROTA_UNLIKELY(earlier))
		make_pointers(parser->args, earlier, input.data);
	return status;
}
