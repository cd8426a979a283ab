/*
 * Broken policies and what is said about them, word for word with line and column: every
 * key of the language has at least one.  If this fails, a message changed, or a mistake is
 * no longer found or stands at another place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_files.h"

#include "continuo/hash.h"

static const struct {
	const char *policy, *mistakes;
} cases[] = {
    {"%YAML 1.2\n---\n" BASE,
     "1:1: directives ('%NAME') are not taken; leave the line out\n"},
    {BASE "names: a\xff\n", "4:9: this is no UTF-8; save the file as UTF-8\n"},
    {BASE "names: \xed\xa0\x80\n", "4:8: this is no UTF-8; save the file as UTF-8\n"},
    {BASE "names: a\033[1m\n", "4:9: a control character; take it out\n"},
    {"\xef\xbb\xbflisten: x\n" BASE,
     "1:9: 'x' is no address; write HOST:PORT such as 127.0.0.1:4141, or unix:/PATH\n"},
    {"a: [1\nb: 2\n", "3:1: this is no YAML (flow sequence without a closing "
                      "bracket); look at the indentation, brackets and quotes before "
                      "it\n"},
    {"a:\n  - b\n c: d\n", "3:2: this is no YAML (invalid indentation in mapping); look "
                           "at the indentation, brackets and quotes before it\n"},
    {"\tlisten: x\n", "1:1: this is no YAML (invalid tab as indendation in a "
                      "mapping); look at the indentation, brackets and quotes before "
                      "it\n"},
    {"- a\n- b\n", "1:1: a policy holds keys; write 'name: value'\n"},
    {"just words\n", "1:1: a policy holds keys; write 'name: value'\n"},
    {"# nothing\n", "1:1: the policy is empty; 'continuo init' writes one\n"},
    {"", "1:1: the policy is empty; 'continuo init' writes one\n"},
    {BASE "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n",
     "5:1: 'listen' stands here twice, first in line 4; keep one\n"},
    {BASE "limits: &a {turns: 1}\n",
     "4:9: anchors ('&name') are not taken; write the value where "
     "it is needed\n"},
    {BASE "names: *a\n", "4:8: aliases ('*name') are not taken; write the value out\n"},
    {BASE "names: !!str a\n", "4:8: tags ('!type') are not taken; write the plain value\n"},
    {BASE "---\nlisten: 127.0.0.1:1\n",
     "4:1: a second document ('---'); use one file each\n"},
    {BASE "client: {<<: {model: x}}\n",
     "4:10: merge keys ('<<') are not taken; write the keys out\n"},
    {BASE "? [a, b]\n: c\n", "4:3: a key must be plain text; write 'name: value'\n"},
    {BASE "listen:\n", "4:1: no value; write an address, such as 127.0.0.1:4141\n"},
    {BASE "listen: ~\n", "4:9: no value; write an address, such as 127.0.0.1:4141\n"},
    {BASE "workers: {a: 1}\n", "4:10: a map where one value belongs; write a whole number "
                               "such as 12\n"},
    {BASE "listne: 127.0.0.1:4141\n",
     "4:1: unknown key 'listne' of the policy; did you mean "
     "'listen'?\n"},
    {BASE "colour: blue\n", "4:1: unknown key 'colour' of the policy; known are include, "
                            "listen, names, tls, workers, client_key_origins, client, "
                            "presets, backends, models, chains, routes, fallback, history, "
                            "limits, budgets, tokens, vault, observability\n"},
    {BASE "names: ${CN_NO_SUCH}\n",
     "4:8: the environment has no variable CN_NO_SUCH; set it, or "
     "write the value itself\n"},
    {BASE "names: ${MY_API_KEY}\n",
     "4:8: ${MY_API_KEY} looks like a secret; keys belong in the "
     "vault (continuo vault set NAME) and are named here as "
     "vault:NAME\n"},
    {BASE "names: ${a\n", "4:8: '${' without its '}'; write ${NAME}\n"},
    {BASE "names: ${a b}\n", "4:8: '${a b}' names no variable; write ${NAME}, or $${ for "
                             "the two characters themselves\n"},
    {BASE "client: {model: sk-ant-123456789012}\n",
     "4:17: this looks like a secret key; store it with 'continuo "
     "vault set NAME', write 'key: vault:NAME' here, and renew it "
     "at the provider\n"},
    {BASE "client: {env: {X: 'Bearer abcdefghijklmnop'}}\n",
     "4:19: this looks like a secret key; store it with 'continuo "
     "vault set NAME', write 'key: vault:NAME' here, and renew it "
     "at the provider\n"},
    {BASE "include: nowhere.yaml\n", "4:10: 'nowhere.yaml' cannot be read (No such file or "
                                     "directory); mend the path\n"},
    {BASE "include: /etc/passwd\n",
     "4:10: '/etc/passwd' is an absolute path; name a file below "
     "the policy's own directory\n"},
    {BASE "include: [[a]]\n", "4:11: a list where one value belongs; write the path of a "
                              "file\n"},
    {BASE "listen: 4141\n", "4:9: '4141' is no address; write HOST:PORT such as "
                            "127.0.0.1:4141, or unix:/PATH\n"},
    {BASE "listen: 127.0.0.1:70000\n",
     "4:9: '127.0.0.1:70000' is no address; write HOST:PORT such as "
     "127.0.0.1:4141, or unix:/PATH\n"},
    {BASE "listen: unix:relative\n",
     "4:9: 'unix:relative' is no address; write HOST:PORT such as "
     "127.0.0.1:4141, or unix:/PATH\n"},
    {BASE "listen: 0.0.0.0:4141\n",
     "4:9: 0.0.0.0 is reachable from other machines; add 'tls: "
     "terminated' when a proxy in front does TLS, or listen on "
     "127.0.0.1\n"},
    {BASE "listen: ['127.0.0.1:1', '[::]:4141']\n",
     "4:25: :: is reachable from other machines; add 'tls: "
     "terminated' when a proxy in front does TLS, or listen on "
     "127.0.0.1\n"},
    {BASE "listen: []\n", "4:9: no address to listen on; write 127.0.0.1:4141\n"},
    {BASE "names: [a/b]\n", "4:9: 'a/b' is no host name; write router.example.com, with "
                            ":PORT where it is another than ours\n"},
    {BASE "names: [a.example, a.example]\n",
     "4:20: 'a.example' stands here twice; keep one\n"},
    {BASE "tls: yes\n", "4:6: unknown tls 'yes'; write terminated\n"},
    {BASE "workers: 0\n", "4:10: 0 is out of range; 'workers' is 1 to 1024\n"},
    {BASE "workers: '2'\n", "4:10: '2' is not a whole number; write 12\n"},
    {BASE "client_key_origins: http://a.example\n",
     "4:21: 'http://a.example' would carry the client's key "
     "unencrypted; write https\n"},
    {BASE "client_key_origins: https://a.example/v1\n",
     "4:21: 'https://a.example/v1' is no origin; write https://HOST "
     "or https://HOST:PORT\n"},
    {BASE "client_key_origins: a.example\n",
     "4:21: 'a.example' is no origin; write https://HOST or "
     "https://HOST:PORT\n"},
    {BASE "client: {model: ''}\n", "4:17: no value; write a text\n"},
    {BASE "client: {env: {ANTHROPIC_BASE_URL: x}}\n",
     "4:16: ANTHROPIC_BASE_URL is set by continuo itself; leave it "
     "out\n"},
    {BASE "client: {env: {1A: x}}\n",
     "4:16: '1A' is no name of a variable; write letters, digits "
     "and '_'\n"},
    {BASE "client: {env: [a]}\n", "4:15: 'env' is a map; write 'NAME: value'\n"},
    {BASE "client: {modle: x}\n",
     "4:10: unknown key 'modle' of client; did you mean 'model'?\n"},
    {BASE "presets: {anthropic: {url: 'https://a.example'}}\n",
     "4:11: preset 'anthropic' is in the catalogue already; choose "
     "another name\n"},
    {BASE "presets: {p: {auth: basic}}\n",
     "4:21: unknown auth 'basic'; write x-api-key, bearer or "
     "api-key\n"},
    {BASE "presets: {p: {wire: soap}}\n",
     "4:21: unknown wire 'soap'; write anthropic or openai-chat\n"},
    {BASE "presets: {p: {url: 'ftp://a'}}\n",
     "4:20: 'ftp://a' is no base URL; write https://HOST/PATH, "
     "without user, query and fragment\n"},
    {BASE "presets: {p: {drop_fields: ['a b']}}\n",
     "4:29: 'a b' does not belong into 'drop_fields'; write a name "
     "of letters, digits, '_', '-' and '.'\n"},
    {BASE "presets: {p: {like: anthropc}}\n",
     "4:21: unknown preset 'anthropc'; did you mean 'anthropic'?\n"},
    {BASE "presets: {p: {like: second-of-ours}, second-of-ours: {}}\n",
     "4:21: unknown preset 'second-of-ours'; name one that stands before this\n"},
    {BASE "presets: {p: {url: 'https://a.example/v1/chat/completions'}}\n",
     "4:20: the endpoint is put behind the base by continuo; leave "
     "'/chat/completions' out\n"},
    {BASE "presets: {p: {add_fields: [a]}}\n",
     "4:27: 'add_fields' is a map; write 'NAME: value'\n"},
    {BASE "presets: {p: {add_fields: {'a b': 1, stream: true, c: , d: [1, ~]}}}\n",
     "4:28: 'a b' is no name of a member; write letters, digits, '_', '-' and '.'\n"
     "4:38: member 'stream' is written by continuo; leave it out\n"
     "4:52: no value; write a value, a list or a map\n"
     "4:64: no value; write a value, a list or a map\n"},
    {BASE "presets: {p: {models: {a: {add_fields: {x: {'y z': 1}}}}}}\n",
     "4:45: 'y z' is no name of a member; write letters, digits, '_', '-' and '.'\n"},
    {BACKENDS ROUTES
     "models: {m: {backend: b, id: x, quirks: [top_q], drop_fields: ['a b']}}\n",
     "3:42: unknown word 'top_q' in 'quirks'; did you mean 'top_k'?\n"
     "3:64: 'a b' does not belong into 'drop_fields'; write a name of letters, "
     "digits, '_', '-' and '.'\n"},
    {BASE "presets: {p: {keep_betas: ['a,b']}}\n",
     "4:28: 'a,b' does not belong into 'keep_betas'; write a name "
     "of letters, digits, '_', '-' and '.'\n"},
    {BASE "presets: {p: {drop_betas: 1}}\n",
     "4:27: '1' is neither true nor false; write one of them\n"},
    {BASE "presets: {p: {checks_signatures: on}}\n",
     "4:34: 'on' is neither true nor false; write one of them\n"},
    {BASE "presets: {p: {count_tokens: maybe}}\n",
     "4:29: 'maybe' is neither true nor false; write one of them\n"},
    {BASE "presets: {p: {models: [a]}}\n",
     "4:23: 'models' is a map; write 'ID: {context: 128k}'\n"},
    {BASE "presets: {p: {models: {a: {contxt: 1k}}}}\n",
     "4:28: unknown key 'contxt' of a preset's model; did you mean "
     "'context'?\n"},
    {BASE "presets: {p: {title: [a]}}\n",
     "4:22: a list where one value belongs; write a text\n"},
    {BASE "presets: {p: {quirks: [odd]}}\n",
     "4:24: unknown word 'odd' in 'quirks'; 'continuo policy "
     "schema' lists them\n"},
    {BASE "presets: {p: {quirks: [top_k, top_k]}}\n",
     "4:31: 'top_k' stands here twice; keep one\n"},
    {BASE "presets: {p: {headers: {'a b': c}}}\n",
     "4:25: 'a b' is no header; write a name of letters, digits and "
     "'-' and a value of visible ASCII\n"},
    {BASE "presets: [p]\n",
     "4:10: 'presets' is a map of names; write 'NAME: …' below it\n"},
    {MODELS ROUTES "backends: {b: {preset: anthropc}}\n",
     "3:24: unknown preset 'anthropc'; did you mean 'anthropic'?\n"},
    {MODELS ROUTES "backends: {b: {preset: nothing-like-it}}\n",
     "3:24: unknown preset 'nothing-like-it'; leave it out and "
     "write 'url' and 'wire', or add it below 'presets'\n"},
    {MODELS ROUTES "backends: {b: {}}\n",
     "3:12: backend 'b' has no wire; add 'wire: anthropic', "
     "'wire: openai-chat' or a preset\n"
     "3:12: backend 'b' has no url; add 'url: https://…' or a "
     "preset\n"},
    {MODELS ROUTES "backends: {b: {wire: anthropic}}\n",
     "3:12: backend 'b' has no url; add 'url: https://…' or a "
     "preset\n"},
    {MODELS ROUTES "backends: {b: {preset: azure-claude}}\n",
     "3:12: backend 'b' has no url, nor has its preset; add 'url: "
     "https://…'\n"},
    {MODELS ROUTES "backends: {b: {url: 'https://a.example'}}\n",
     "3:12: backend 'b' has no wire; add 'wire: anthropic', "
     "'wire: openai-chat' or a preset\n"},
    {MODELS ROUTES "backends: {b: {wire: antropic, url: 'https://a.example'}}\n",
     "3:22: unknown wire 'antropic'; did you mean 'anthropic'?\n"},
    {MODELS ROUTES "backends: {b: {wire: anthropic, url: 'https://u:p@a.example'}}\n",
     "3:38: '…' is no base URL; write https://HOST/PATH, without "
     "user, query and fragment\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, ulr: x}}\n",
     "3:34: unknown key 'ulr' of a backend; did you mean 'url'?\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, headers: {X-Api-Key: abc}}}\n",
     "3:44: header 'X-Api-Key' carries a secret; store it with "
     "'continuo vault set NAME' and write 'key: vault:NAME'\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, headers: {Host: abc}}}\n",
     "3:44: header 'Host' is written by continuo; leave it out\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, headers: [a]}}\n",
     "3:43: 'headers' is a map; write 'NAME: value'\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, quirks: [open_ends]}}\n",
     "3:43: unknown word 'open_ends' in 'quirks'; did you mean "
     "'open_end'?\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, rotate: fill-first}}\n",
     "3:42: unknown rotate 'fill-first'; did you mean 'fill_first'?\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, network: local}}\n",
     "3:43: unknown network 'local'; write public or private\n"},
    {MODELS ROUTES "backends: {b: {preset: ollama, network: public}}\n",
     "3:41: the URL names a private address, which 'network: "
     "public' forbids; write 'network: private'\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, plaintext: 1}}\n",
     "3:45: '1' is neither true nor false; write one of them\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, proxy: 'socks5://u:p@h'}}\n",
     "3:41: '…' is no proxy; write none, env or a URL such as "
     "http://127.0.0.1:3128, without user and password\n"},
    {MODELS ROUTES "backends: {b: {preset: ollama, url: 'http://10.0.0.7:11434'}}\n",
     "3:37: http to another machine can be read by everyone "
     "between; write https, or 'plaintext: true' with 'key: none'\n"},
    {MODELS ROUTES
     "backends: {b: {preset: ollama, url: 'http://10.0.0.7:11434', plaintext: true, key: vault:k}}\n",
     "3:84: a key must not travel unencrypted; write 'key: none', "
     "or https in the URL\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: client}}\n",
     "3:39: the client's own key may not go to "
     "https://api.deepseek.com:443; use a vault key, or list that "
     "origin in client_key_origins\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: [client, vault:a]}}\n",
     "3:40: the client's own key may not go to "
     "https://api.deepseek.com:443; use a vault key, or list that "
     "origin in client_key_origins\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: my-secret}}\n",
     "3:39: this is no key that a policy can name; write client, "
     "none or vault:NAME ('continuo vault set NAME' stores it)\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: sk-1234567890abcdef1234}}\n",
     "3:39: this looks like a secret key; store it with 'continuo "
     "vault set NAME', write 'key: vault:NAME' here, and renew it "
     "at the provider\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: [vault:a, vault:a]}}\n",
     "3:49: key 'a' stands here twice; keep one\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: []}}\n",
     "3:39: an empty list of keys; write none or vault:NAME\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: {key: vault:a, acount: x}}}\n",
     "3:39: a key is more than its name only for 'account'; write "
     "{key: vault:NAME, account: LABEL}\n"},
    {MODELS ROUTES
     "backends: {b: {preset: deepseek, key: {key: vault:a, account: 'x y'}}}\n",
     "3:63: 'x y' is no label; write at most 60 of letters, digits "
     "and . _ : @ -\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: vault:missing}}\n",
     "3:39: the vault has no key 'missing'; store it with 'continuo "
     "vault set missing --preset deepseek'\n"},
    {MODELS ROUTES "backends: {b: {preset: deepseek, key: vault:foreign}}\n",
     "3:39: key 'foreign' may not be sent to "
     "https://api.deepseek.com:443; use a key of that provider, or "
     "store this one anew with '--origin "
     "https://api.deepseek.com:443'\n"},
    {MODELS ROUTES
     "backends: {b: {wire: anthropic, url: 'https://a.example', key: [vault:a, {key: vault:missing}]}}\n",
     "3:80: the vault has no key 'missing'; store it with 'continuo "
     "vault set missing --origin https://a.example:443'\n"},
    {MODELS ROUTES "backends: {'b c': {preset: deepseek}, b: {preset: deepseek}}\n",
     "3:12: 'b c' is no name; write at most 60 of letters, digits "
     "and . _ : @ -\n"},
    {MODELS ROUTES "backends: [b]\n",
     "3:11: 'backends' is a map of names; write 'NAME: …' below it\n"},
    {MODELS ROUTES "backends: {b: deepseek}\n",
     "3:15: a backend is a map of keys; write 'preset: …'\n"},
    {BACKENDS ROUTES "models: {m: {backend: c, id: x}}\n",
     "3:23: unknown backend 'c'; add it below 'backends'\n"},
    {BACKENDS ROUTES "models: {m: {backend: bb, id: x}}\n",
     "3:23: unknown backend 'bb'; add it below 'backends'\n"},
    {BACKENDS ROUTES "models: {m: {id: x}}\n",
     "3:10: a model without 'backend'; add 'backend: …'\n"},
    {BACKENDS ROUTES "models: {m: {backend: b}}\n",
     "3:10: a model without 'id'; add 'id: …'\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: 'a b'}}\n",
     "3:30: 'a b' is no model id; write it as the backend lists it\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, context: 64K}}\n",
     "3:42: '64K' is not a number of tokens; write 64k or 1M\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, context: 0}}\n",
     "3:42: 0 is out of range; 'context' is 1 to 100M\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, max_output: 2k, context: 1k}}\n",
     "3:45: max_output 2k is more than the context of 1k; mend one\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, continuation: auto}}\n",
     "3:47: unknown continuation 'auto'; write instruct, prefill, "
     "restart or off\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, thinking: maybe}}\n",
     "3:43: 'maybe' is neither true nor false; write one of them\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, images: 1}}\n",
     "3:41: '1' is neither true nor false; write one of them\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, server_tools: none}}\n",
     "3:47: 'none' is neither true nor false; write one of them\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, tools: 0}}\n",
     "3:40: '0' is no number of tools; write true, false or the "
     "most that it takes, such as 128\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, tools: many}}\n",
     "3:40: 'many' is no number of tools; write true, false or the "
     "most that it takes, such as 128\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, max_body: 64k}}\n",
     "3:43: '64k' is not a size; write 64KiB, 10MiB or 1GiB\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, stream: sometimes}}\n",
     "3:41: unknown stream 'sometimes'; write always, never or "
     "{over: 4k}\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, stream: {above: 4k}}}\n",
     "3:41: this is no value for 'stream'; write always, never or "
     "{over: 4k}\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, stream: {over: x}}}\n",
     "3:48: 'x' is not a number of tokens; write 4k\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, tool_format: qwen-coder}}\n",
     "3:46: unknown tool_format 'qwen-coder'; did you mean "
     "'qwen3-coder'?\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, smooth: soft}}\n",
     "3:41: 'soft' is neither true nor false; write one of them\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, price: {input: 3}}}\n",
     "3:33: a price without 'output'; add 'output: …'\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, price: {input: 3, output: cheap}}}\n",
     "3:59: 'cheap' is no amount of dollars; write 2.50\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, price: {input: -1, output: 2}}}\n",
     "3:48: '-1' is no amount of dollars; write 2.50\n"},
    {BACKENDS ROUTES
     "models: {m: {backend: b, id: x, price: {input: 1, output: 2, date: today}}}\n",
     "3:68: 'today' is no date; write 2026-11-21\n"},
    {BACKENDS ROUTES
     "models: {m: {backend: b, id: x, price: {input: 1, output: 2, cache_read: x}}}\n",
     "3:74: 'x' is no amount of dollars; write 2.50\n"},
    {BACKENDS ROUTES
     "models: {m: {backend: b, id: x, price: {input: 1, output: 2, cache_write: x}}}\n",
     "3:75: 'x' is no amount of dollars; write 2.50\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, prompt: x}}\n",
     "3:41: this is no value for 'prompt'; write {append: FILE}, "
     "{prepend: FILE} or {replace: FILE}\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, prompt: {append: missing.txt}}}\n",
     "3:50: 'missing.txt' cannot be read (No such file or "
     "directory); mend the path\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, prompt: {append: /etc/passwd}}}\n",
     "3:50: '/etc/passwd' is an absolute path; name a file below "
     "the policy's own directory\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, prompt: {prepend: ''}}}\n",
     "3:51: no value; write the path of a file\n"},
    {BACKENDS ROUTES "models: {m: {backend: b, id: x, prompt: {instead: x}}}\n",
     "3:41: this is no value for 'prompt'; write {append: FILE}, "
     "{prepend: FILE} or {replace: FILE}\n"},
    {BASE "chains: {c: []}\n", "4:13: a chain is a list of models; write [NAME, NAME]\n"},
    {BASE "chains: {c: m}\n", "4:13: a chain is a list of models; write [NAME, NAME]\n"},
    {BASE "chains: {c: [mm]}\n", "4:14: unknown model 'mm'; add it below 'models'\n"},
    {BASE "chains: {c: [m, m]}\n", "4:17: model 'm' stands in the chain twice; keep one\n"},
    {BASE "chains: {route-1: [m]}\n",
     "4:10: 'route-1' is how lists inside routes are called; choose "
     "another name\n"},
    {BASE "chains: {c: {fallback: {}}}\n",
     "4:10: a chain without 'models'; add 'models: …'\n"},
    {BASE "chains: {c: {models: [m], fallback: {on: all}}}\n",
     "4:42: unknown word 'all' in 'on'; known are rate_limited, "
     "quota_exhausted, overloaded, auth, billing, invalid_request, "
     "context_overflow, output_ceiling, content_refusal, "
     "not_found_model, misconfigured, timeout_connect, "
     "timeout_first_byte, timeout_idle, truncated_stream, "
     "malformed_stream, server_error, empty, loop, weak, damaged\n"},
    {BASE "chains: [m]\n", "4:9: 'chains' is a map of names; write 'NAME: …' below it\n"},
    {BASE "chains: {'c d': [m]}\n",
     "4:10: 'c d' is no name; write at most 60 of letters, digits "
     "and . _ : @ -\n"},
    {BACKENDS MODELS "routes: []\n",
     "3:9: 'routes' is a list; write '- use: CHAIN' below it\n"},
    {BACKENDS MODELS "routes: {use: m}\n",
     "3:9: 'routes' is a list; write '- use: CHAIN' below it\n"},
    {BACKENDS MODELS "routes: [{when: {model: x}}]\n",
     "3:10: a route without 'use'; add 'use: …'\n"},
    {BACKENDS MODELS "routes: [{use: m}]\n",
     "3:16: 'm' is a model, not a chain; write [m]\n"},
    {BACKENDS MODELS "chains: {main: [m]}\nroutes: [{use: mian}]\n",
     "4:16: unknown chain 'mian'; did you mean 'main'?\n"},
    {BACKENDS MODELS "routes: [{use: [n]}]\n",
     "3:17: unknown model 'n'; add it below 'models'\n"},
    {BACKENDS MODELS "routes: [{use: [m]}, {use: [m]}]\n",
     "3:22: route 2 is never reached, since route 1 takes every "
     "request; put that one last\n"},
    {"backends: {b: {preset: deepseek}}\nmodels: {m: {backend: b, id: x}}\n",
     "1:1: the policy without 'routes'; add 'routes: …'\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {model: []}}]\n",
     "3:35: an empty list matches nothing; leave 'model' out\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {model: {a: b}}}]\n",
     "3:35: a map where one value belongs; write a name, in which * "
     "stands for anything\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {modell: x}}]\n",
     "3:28: unknown key 'modell' of when; did you mean 'model'?\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {owner: [[]]}}]\n",
     "3:36: a list where one value belongs; write a name, in which "
     "* stands for anything\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {context_over: lots}}]\n",
     "3:42: 'lots' is not a number of tokens; write 64k or 1M\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {context_under: 0}}]\n",
     "3:43: 0 is out of range; 'context_under' is 1 to 100M\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {context_over: 10k, context_under: 5k}}]\n",
     "3:62: no request is both over 10k and under 5k; mend one\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {thinking: maybe}}]\n",
     "3:38: 'maybe' is neither true nor false; write one of them\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {images: maybe}}]\n",
     "3:36: 'maybe' is neither true nor false; write one of them\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {tools: 3}}]\n",
     "3:35: '3' is neither true nor false; write one of them\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {caller: sub}}]\n",
     "3:36: unknown caller 'sub'; write main, subagent or side\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {header: {Authorization: x}}}]\n",
     "3:37: header 'Authorization' carries a secret; match on "
     "another header, or on 'owner'\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {header: x}}]\n",
     "3:36: 'header' is a map; write 'NAME: value'\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {time: 22-06}}]\n",
     "3:34: '22-06' is no span of the day; write 22:00-06:00\n"},
    {BACKENDS MODELS "routes: [{use: [m], when: {time: '22:00-24:00'}}]\n",
     "3:34: '22:00-24:00' is no span of the day; write 22:00-06:00\n"},
    {BACKENDS MODELS "routes: [{use: [m], fallback: {max_wait: 1}}]\n",
     "3:42: '1' is not a time; write 250ms, 10s, 5m, 2h or 30d, or "
     "forever\n"},
    {BACKENDS MODELS "routes: [{use: [m], prompt: {replace: nothing.md}}]\n",
     "3:39: 'nothing.md' cannot be read (No such file or "
     "directory); mend the path\n"},
    {BACKENDS MODELS "routes: [{use: [m], max_tokens: much}]\n",
     "3:33: 'much' is not a number of tokens; write 64k or 1M\n"},
    {BACKENDS MODELS "routes: [{use: [m], effort: hihg}]\n",
     "3:29: unknown effort 'hihg'; did you mean 'high'?\n"},
    {BACKENDS MODELS "routes: [{use: [m], models: {n: {context: 1k}}}]\n",
     "3:30: 'n' is no model of chain 'route-1'; name one of those "
     "that the route uses\n"},
    {BACKENDS MODELS "routes: [{use: [m], models: {m: {backend: b}}}]\n",
     "3:34: unknown key 'backend' of a model's keys; known are id, "
     "quirks, drop_fields, add_fields, "
     "context, max_output, continuation, thinking, images, "
     "server_tools, tools, max_body, stream, tool_format, smooth, "
     "price, prompt\n"},
    {BACKENDS MODELS "routes: [{use: [m], models: [m]}]\n",
     "3:29: 'models' is a map; write 'NAME: {max_output: 8k}'\n"},
    {BACKENDS MODELS "routes: [{use: [m], models: {m: {context: 1x}}}]\n",
     "3:43: '1x' is not a number of tokens; write 64k or 1M\n"},
    {BASE "fallback: {on: [overload]}\n",
     "4:17: unknown word 'overload' in 'on'; did you mean "
     "'overloaded'?\n"},
    {BASE "fallback: {on: [ok]}\n",
     "4:17: unknown word 'ok' in 'on'; known are rate_limited, "
     "quota_exhausted, overloaded, auth, billing, invalid_request, "
     "context_overflow, output_ceiling, content_refusal, "
     "not_found_model, misconfigured, timeout_connect, "
     "timeout_first_byte, timeout_idle, truncated_stream, "
     "malformed_stream, server_error, empty, loop, weak, damaged\n"},
    {BASE "fallback: {connect_timeout: 10}\n",
     "4:29: '10' is not a time; write 250ms, 10s, 5m, 2h or 30d\n"},
    {BASE "fallback: {first_byte_timeout: 2h}\n",
     "4:32: 2h is out of range; 'first_byte_timeout' is 1ms to 1h\n"},
    {BASE "fallback: {idle_timeout: 1 m}\n",
     "4:26: '1 m' is not a time; write 250ms, 10s, 5m, 2h or 30d\n"},
    {BASE "fallback: {progress_timeout: 0s}\n",
     "4:30: 0ms is out of range; 'progress_timeout' is 1ms to 6h\n"},
    {BASE "fallback: {attempt_timeout: 2d}\n",
     "4:29: 2d is out of range; 'attempt_timeout' is 1ms to 1d\n"},
    {BASE "fallback: {hold_thinking: 99h}\n",
     "4:27: 99h is out of range; 'hold_thinking' is 0ms to 1h\n"},
    {BASE "fallback: {hold_ping_after: never}\n",
     "4:29: 'never' is not a time; write 250ms, 10s, 5m, 2h or 30d\n"},
    {BASE "fallback: {max_wait: always}\n",
     "4:22: 'always' is not a time; write 250ms, 10s, 5m, 2h or "
     "30d, or forever\n"},
    {BASE "fallback: {orphan_grace: -1s}\n",
     "4:26: '-1s' is not a time; write 250ms, 10s, 5m, 2h or 30d\n"},
    {BASE "fallback: {failback: soon}\n",
     "4:22: unknown failback 'soon'; write next_turn, never or "
     "{idle: 10m}\n"},
    {BASE "fallback: {failback: {idle: 0s}}\n",
     "4:29: '0s' is no time from 1s to 30d; write 10m\n"},
    {BASE "fallback: {failback: {after: 10m}}\n",
     "4:22: this is no value for 'failback'; write next_turn, never "
     "or {idle: 10m}\n"},
    {BASE "fallback: {continuation: prefill}\n",
     "4:26: unknown continuation 'prefill'; write auto, instruct, "
     "restart or off\n"},
    {BASE "fallback: {tool_calls: hold}\n",
     "4:24: unknown tool_calls 'hold'; did you mean 'held'?\n"},
    {BASE "fallback: {report_model: both}\n",
     "4:26: unknown report_model 'both'; write requested or "
     "answered\n"},
    {BASE "fallback: {loop_limit: 0}\n",
     "4:24: 0 is out of range; 'loop_limit' is 1 to 1000\n"},
    {BASE "fallback: {hedge_after: 0ms}\n",
     "4:25: 0ms is out of range; 'hedge_after' is 1ms to 1h\n"},
    {BASE "fallback: {hedge_after: none}\n",
     "4:25: 'none' is not a time; write 250ms, 10s, 5m, 2h or 30d, "
     "or off\n"},
    {BASE "fallback: {max_wiat: 1s}\n",
     "4:12: unknown key 'max_wiat' of fallback; did you mean "
     "'max_wait'?\n"},
    {BASE "history: {enabled: yes}\n",
     "4:20: 'yes' is neither true nor false; write one of them\n"},
    {BASE "history: {retention: 30}\n",
     "4:22: '30' is not a time; write 250ms, 10s, 5m, 2h or 30d\n"},
    {BASE "history: {max_size: 1MiB}\n",
     "4:21: 1MiB is out of range; 'max_size' is 16MiB to 16384GiB\n"},
    {BASE "history: {network_fs: x}\n",
     "4:23: 'x' is neither true nor false; write one of them\n"},
    {BASE "limits: {connections: 100000}\n",
     "4:23: 100000 is out of range; 'connections' is 1 to 65536\n"},
    {BASE "limits: {connections_per_token: 0}\n",
     "4:33: 0 is out of range; 'connections_per_token' is 1 to "
     "65536\n"},
    {BASE "limits: {turns: 40000}\n",
     "4:17: 40000 is out of range; 'turns' is 1 to 32768\n"},
    {BASE "limits: {turns_per_token: 1.5}\n",
     "4:27: '1.5' is not a whole number; write 12\n"},
    {BASE "limits: {request_body: 300MiB}\n",
     "4:24: 300MiB is out of range; 'request_body' is 1MiB to "
     "256MiB\n"},
    {BASE "limits: {memory_limit: 1MiB}\n",
     "4:24: 1MiB is out of range; 'memory_limit' is 64MiB to "
     "1024GiB\n"},
    {BASE "limits: {drain: 1h}\n", "4:17: 1h is out of range; 'drain' is 0ms to 30m\n"},
    {BASE "budgets: {session: {}}\n",
     "4:11: a budget of nothing; add 'money: 10' or 'tokens: 5M'\n"},
    {BASE "budgets: {token: {money: free}}\n",
     "4:26: 'free' is no amount of dollars; write 2.50\n"},
    {BASE "budgets: {day: {tokens: 5M, then: explode}}\n",
     "4:35: unknown then 'explode'; write warn, degrade or stop\n"},
    {BASE "budgets: {week: {money: 1}}\n",
     "4:11: unknown key 'week' of budgets; known are session, "
     "token, day\n"},
    {BASE "tokens: {requests_per_minute: 0}\n",
     "4:31: 0 is out of range; 'requests_per_minute' is 1 to "
     "1000000\n"},
    {BASE "vault: {key_file: key}\n",
     "4:19: 'key' is no absolute path; write it from the first '/' "
     "on\n"},
    {BASE "vault: {require_mlock: 1}\n",
     "4:24: '1' is neither true nor false; write one of them\n"},
    {BASE "observability: {log: xml}\n", "4:22: unknown log 'xml'; write text or json\n"},
    {BASE "observability: {log_level: trace}\n",
     "4:28: unknown log_level 'trace'; write error, warning, info "
     "or debug\n"},
    {BASE "observability: {otlp: 'localhost:4318'}\n",
     "4:23: 'localhost:4318' is no URL of a collector; write "
     "http://127.0.0.1:4318\n"},
    {"listen: nowhere\nbackends:\n  a: {preset: anthropic, key: client}\nmodels:\n  opus: {backend: a, id: client}\nchains:\n  main: [opsu]\nroutes:\n  - use: mian\n",
     "1:9: 'nowhere' is no address; write HOST:PORT such as "
     "127.0.0.1:4141, or unix:/PATH\n"
     "7:10: unknown model 'opsu'; did you mean 'opus'?\n"
     "9:10: unknown chain 'mian'; did you mean 'main'?\n"},
};

static void every_mistake_is_told_with_its_place(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};
	size_t wrong = 0;

	(void)state;
	config_dir_make(&d);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cn_policy *p = config_load_text(&d, cases[i].policy, &got);
		if (p || strcmp(got.p, cases[i].mistakes) != 0) {
			print_error("%s\nexpected: %sgot:      %s\n", cases[i].policy,
			            cases[i].mistakes, got.p);
			wrong++;
		}
		cn_policy_unref(p);
	}
	config_dir_remove(&d);
	assert_int_equal(wrong, 0);
}

/* Whether "key:" stands in text as a key. */
static bool has_key(const char *text, struct cn_view key)
{
	struct cn_view v = cn_view_str(text);

	for (size_t at = 0; (at = cn_view_find(v, key, at)) != SIZE_MAX; at++)
		if (at + key.n < v.n && v.p[at + key.n] == ':' &&
		    (at == 0 || strchr(" {\n", v.p[at - 1])))
			return true;
	return false;
}

/* Found by the words of the schema: a key without a case here has no tested message. */
static void every_key_has_a_case(void **state)
{
	CN_AUTO(cn_buf) schema = {0};
	struct cn_view rest, line, key;
	size_t without = 0;

	(void)state;
	cn_config_schema(&schema);
	rest = cn_buf_view(&schema);
	/* A key's description follows its properties: "name": { … on a line of its own. */
	while (cn_view_split(&rest, '\n', &line)) {
		line = cn_view_trim(line);
		if (!cn_view_ends(line, CN_VIEW("\": {")) || line.p[1] == '$')
			continue;
		key = cn_view(line.p + 1, line.n - 5);
		bool found = cn_view_is(key, "properties") || cn_view_is(key, "items") ||
		             cn_view_is(key, "propertyNames") ||
		             cn_view_is(key, "additionalProperties");
		for (size_t i = 0; !found && i < sizeof cases / sizeof *cases; i++)
			found = has_key(cases[i].policy, key);
		if (!found) {
			print_error("no case for '%.*s'\n", CN_VIEW_ARG(key));
			without++;
		}
	}
	assert_int_equal(without, 0);
}

static void more_workers_than_cores_are_refused(void **state)
{
	struct config_dir d;
	CN_AUTO(cn_buf) got = {0};

	(void)state;
	config_dir_make(&d);
	assert_null(config_load_text(&d, BASE "workers: 1024\n", &got));
	assert_non_null(strstr(got.p, "4:10: 1024 workers; this machine has "));
	config_dir_remove(&d);
}

/* The count and the first one are all that a caller without on_mistake sees. */
static void the_first_mistake_says_how_many_there_are(void **state)
{
	struct config_dir d;
	struct cn_config_opts opts = {0};
	struct cn_policy *p = NULL;
	struct cn_error err = {0};

	(void)state;
	config_dir_make(&d);
	config_file(&d, "policy.yaml", BASE "tls: no\nnames: [a/b]\n");
	opts.path = d.policy;
	assert_int_equal(cn_config_load(&opts, &p, &err), CN_E_CONFIG);
	assert_string_equal(err.message,
	                    "unknown tls 'no'; write terminated (1 of 2 mistakes)");
	assert_string_equal(err.file, d.policy);
	assert_int_equal(err.line, 4);
	assert_int_equal(err.column, 6);
	assert_int_equal(cn_error_exit(err.code), 3);
	config_dir_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_mistake_is_told_with_its_place),
	    cmocka_unit_test(every_key_has_a_case),
	    cmocka_unit_test(more_workers_than_cores_are_refused),
	    cmocka_unit_test(the_first_mistake_says_how_many_there_are),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
