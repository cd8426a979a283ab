/* Whatever a model writes for a call: what is delivered checks, and nothing leaks. */
#include "continuo/error.h"
#include "continuo/hash.h"
#include "continuo/repair.h"
#include "continuo/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct cn_json tools = cn_json_root(
	    CN_VIEW("[{\"name\":\"a\",\"input_schema\":{\"properties\":{\"i\":{\"type\":"
	            "\"integer\"},\"b\":{\"type\":\"boolean\"}},\"required\":[\"i\"]}}]"));

	for (unsigned may_close = 0; may_close < 2; may_close++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_view name = CN_VIEW("A"), input = cn_view((const char *)p, n);

		if (cn_repair_call(&a, tools, may_close, &name, &input))
			cn_assert(cn_schema_check_call(tools, name, input, NULL) == 0);
	}
	return 0;
}
