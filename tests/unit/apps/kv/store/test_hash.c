/* SPDX-License-Identifier: MIT */
/* SipHash against the vectors of its authors. */
#include "t_store.h"

#include "apps/kv/store/hash.h"

/*
 * Key 00 01 … 0f, input 00 01 … (n-1). From the reference implementation's vectors.h, first, 8-byte
 * boundary, last.
 */
static void test_hash_2_4_published_vectors_match(void **state)
{
	static const struct {
		size_t bytes;
		uint64_t hash;
	} vectors[] = {
		{ 0, UINT64_C(0x726fdb47dd0e0e31) },  { 1, UINT64_C(0x74f839c593dc67fd) },
		{ 7, UINT64_C(0xab0200f58b01d137) },  { 8, UINT64_C(0x93f5f5799a932462) },
		{ 15, UINT64_C(0xa129ca6149be45e5) }, { 63, UINT64_C(0x958a324ceb064572) },
	};
	uint8_t bytes[64];
	struct kv_hash_key key;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	key = kv_hash_key_of(bytes);
	for (unsigned i = 0; i < ROTA_ARRAY_COUNT(vectors); i++)
		assert_int_equal(kv_hash_2_4(&key, bytes, vectors[i].bytes), vectors[i].hash);
}

/* SipHash-1-3 of the same inputs, as other implementations (Rust's std, CPython) publish them. */
static void test_hash_1_3_known_vectors_match(void **state)
{
	uint8_t bytes[16];
	struct kv_hash_key key;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	key = kv_hash_key_of(bytes);
	assert_int_equal(kv_hash_1_3(&key, bytes, 0), UINT64_C(0xabac0158050fc4dc));
	assert_int_equal(kv_hash_1_3(&key, bytes, 1), UINT64_C(0xc9f49bf37d57ca93));
}

static void test_hash_other_seed_gives_other_hash(void **state)
{
	struct kv_hash_key a = kv_hash_key_of((const uint8_t *)"0123456789abcdef");
	struct kv_hash_key b = kv_hash_key_of((const uint8_t *)"0123456789abcdeg");

	(void)state;
	assert_int_not_equal(kv_hash_1_3(&a, "key", 3), kv_hash_1_3(&b, "key", 3));
	assert_int_equal(kv_hash_1_3(&a, NULL, 0), kv_hash_1_3(&a, "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_2_4_published_vectors_match),
		cmocka_unit_test(test_hash_1_3_known_vectors_match),
		cmocka_unit_test(test_hash_other_seed_gives_other_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
