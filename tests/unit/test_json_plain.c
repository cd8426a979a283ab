/* If this fails, machines without SSE2 misread bodies: test_json.c with the lanes in plain
 * C. */
#include "test_json.c"
