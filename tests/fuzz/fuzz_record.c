/* A record that reads must write, and what was written must read to the same text. */
#include "continuo/json.h"
#include "continuo/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) one = {0};
	CN_AUTO(cn_buf) two = {0};
	struct cn_turn_record r;

	if (cn_turn_record_read(&a, cn_view((const char *)data, size), &r, NULL))
		return 0;
	cn_turn_record_write(&one, &r);
	cn_assert(cn_json_check(cn_buf_view(&one), NULL) == 0);
	cn_assert(cn_turn_record_read(&a, cn_buf_view(&one), &r, NULL) == 0);
	cn_turn_record_write(&two, &r);
	cn_assert(cn_view_eq(cn_buf_view(&one), cn_buf_view(&two)));
	return 0;
}
