/* SPDX-License-Identifier: MIT */
/*
 * Pattern matching. Leaf of rota-kv; pure functions.
 *
 * The one idea: a star is tried by going back to the last one only. When something after a later
 * star fails, an earlier star could not have helped, so the work is at most pattern × text and
 * there is no recursion.
 */
#include "apps/kv/glob.h"

#include <ctype.h>

static int fold(char c, bool fold_case)
{
	return fold_case ? tolower((unsigned char)c) : (unsigned char)c;
}

/*
 * Match one character against the class behind '[' at pattern[*at]; moves *at behind the class.
 */
static bool class_matches(struct rota_view pattern, size_t *at, char c, bool fold_case)
{
	size_t i = *at;
	bool is_negated = i < pattern.bytes && pattern.data[i] == '^';
	bool matches = false;
	int wanted = fold(c, fold_case);

	i += is_negated;
	for (; i < pattern.bytes; i++) {
		if (pattern.data[i] == '\\' && pattern.bytes - i >= 2) {
			i++;
			matches |= pattern.data[i] == c;
		} else if (pattern.data[i] == ']') {
			break;
		} else if (pattern.bytes - i >= 3 && pattern.data[i + 1] == '-') {
			int low = fold(pattern.data[i], fold_case);
			int high = fold(pattern.data[i + 2], fold_case);

			i += 2;
			matches |= low <= high ? wanted >= low && wanted <= high
					       : wanted >= high && wanted <= low;
		} else {
			matches |= fold(pattern.data[i], fold_case) == wanted;
		}
	}
	*at = i < pattern.bytes ? i + 1 : i;
	return matches != is_negated;
}

/*
 * Match one character against the pattern's element at *at, which is no star; moves *at behind it.
 */
static bool element_matches(struct rota_view pattern, size_t *at, char c, bool fold_case)
{
	char element = pattern.data[(*at)++];

	if (element == '?')
		return true;
	if (element == '[')
		return class_matches(pattern, at, c, fold_case);
	if (element == '\\' && *at < pattern.bytes)
		element = pattern.data[(*at)++];
	return fold(element, fold_case) == fold(c, fold_case);
}

bool kv_glob_matches(struct rota_view pattern, struct rota_view text, bool fold_case)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

	while (t < text.bytes) {
		if (p < pattern.bytes && pattern.data[p] == '*') {
			star = ++p;
			star_text = t;
		} else if (p < pattern.bytes &&
			   element_matches(pattern, &p, text.data[t], fold_case)) {
			t++;
		} else if (star != SIZE_MAX) {
			p = star;
			t = ++star_text;
		} else {
			return false;
		}
		if (star != SIZE_MAX && star == pattern.bytes)
			return true;
	}
	while (p < pattern.bytes && pattern.data[p] == '*')
		p++;
	return p == pattern.bytes;
}
