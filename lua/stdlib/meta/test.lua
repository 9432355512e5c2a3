-- SPDX-License-Identifier: Apache-2.0
---@meta
-- Tests: what files in `tests/` and `*_test.lua` see

---A test: asks the policies questions and says what must come of them. `moonfence policy test` runs it, and so does every
---load: a generation whose tests fail is refused. A name that begins with "todo" is skipped, as is `test.todo(name)`.
---
---Test files see Lua and `test`, not the vocabulary of policies.
---@param name string A sentence that holds when the test passes.
---@param body fun(t: moonfence.Test)
function test(name, body) end

---A table of tests: one for each row. `{key}` in the name stands for what the row has under that key.
---
---    test.each({ { host = "a.example", port = 22 }, { host = "b.example", port = 25 } }, "{host} is closed on {port}",
---      function(t, row) t:connect { host = row.host, port = row.port } :is_denied() end)
---@param rows table[]
---@param name string
---@param body fun(t: moonfence.Test, row: table)
function test.each(rows, name, body) end

---What a test asks with. Each question takes a table of the request's fields, named as hooks read them; those that are
---not given are unknown. `process` and `session` are tables in it. A `host` given alone is the only one of `hosts`.
---@class moonfence.Test
local Test = {}

---Ask about a question to the domain name system: `t:dns { name = "api.example", type = "A" }`.
---@param fields table
---@return moonfence.Answer
function Test:dns(fields) end

---Ask about a resolver's answer: `t:dns_answer { name = "a.example", type = "A", answer = { ips = { "10.0.0.1" }, private = true } }`.
---@param fields table
---@return moonfence.Answer
function Test:dns_answer(fields) end

---Ask about a connection: `t:connect { host = "api.example", ip = "203.0.113.7", port = 443, proto = "tcp" }`.
---@param fields table
---@return moonfence.Answer
function Test:connect(fields) end

---Ask about a ClientHello: `t:sni { sni = "api.example", host = "api.example", ip = "203.0.113.7", port = 443 }`.
---@param fields table
---@return moonfence.Answer
function Test:sni(fields) end

---Ask about a file operation: `t:file { op = "delete", path = "/workspace/notes.txt" }`.
---@param fields table
---@return moonfence.Answer
function Test:file(fields) end

---A property: what must hold for every value. Each field is a list, of which one entry is taken, or one of the generators
---below; the body is called with a table of values, 100 times unless `policy test --rounds` says otherwise, with the plainest
---values first. The same test tries the same values each time; `--seed` gives others. A failure names its values.
---
---    t:for_all({ name = t:any_name "corp.example", port = { 80, 443 } }, function(x)
---      t:connect { host = x.name, port = x.port } :is_denied()
---    end)
---@param fields table
---@param body fun(x: table)
function Test:for_all(fields, body) end

---Host names: the domain itself and names below it.
---@param domain string? Any, without one.
---@return table
function Test:any_name(domain) end

---Addresses of a network, its first and last among them.
---@param network string? Any of both families, without one.
---@return table
function Test:any_address(network) end

---Absolute paths: the directory itself and what lies below it.
---@param directory string? Any, without one.
---@return table
function Test:any_path(directory) end

---Integers, both ends among them.
---@param low integer
---@param high integer
---@return table
function Test:any_number(low, high) end

---A decision. Each expectation gives the answer again, so that they can be chained; one that does not hold ends the test
---and shows what was asked, expected and decided. A policy that fails to decide fails the test, whatever was expected.
---@class moonfence.Answer
local Answer = {}

---@return moonfence.Answer
function Answer:is_allowed() end

---@param reason string? A Lua pattern that the reason must have.
---@return moonfence.Answer
function Answer:is_denied(reason) end

---@return moonfence.Answer
function Answer:is_asked() end

---@return moonfence.Answer
function Answer:is_audited() end

---No policy had an opinion: the kind's default decided.
---@return moonfence.Answer
function Answer:is_default() end

---@return moonfence.Answer
function Answer:is_soft_deleted() end

---`terminate`: TLS is looked into.
---@return moonfence.Answer
function Answer:is_intercepted() end

---@param path string? The path that is acted on instead.
---@return moonfence.Answer
function Answer:is_redirected_path(path) end

---All addresses of the answer, in any order, or its canonical name.
---@param ... string
---@return moonfence.Answer
function Answer:resolves_to(...) end

---@param target string `host:port`, or the path of a Unix socket.
---@return moonfence.Answer
function Answer:redirects_to(target) end

---@param target string `host:port`.
---@return moonfence.Answer
function Answer:routes_to(target) end

---@param name string The server name that upstream will see.
---@return moonfence.Answer
function Answer:rewrites_sni(name) end

---The rule or hook that decided: a part of its name, `"dns_redirects[2]"`, `"connect()"`.
---@param rule string
---@return moonfence.Answer
function Answer:rule(rule) end

---Members of the decision, all of which must be so: `answer:matches { verdict = "deny", rcode = "NXDOMAIN" }`.
---@param members moonfence.DecisionMembers
---@return moonfence.Answer
function Answer:matches(members) end

---How the decision came about is as `NAME.golden` beside the test says: verdict, rule, what was read and asked, without
---lines and costs. `policy test --update` writes the file. It belongs right behind the question; a load does not look.
---@param name string
---@return moonfence.Answer
function Answer:explains_as(name) end

---@class moonfence.DecisionMembers
---@field verdict string?
---@field visibility string?
---@field reason string?
---@field message string?
---@field rule string?
---@field policy string?
---@field pack string?
---@field sni string?
---@field cname string?
---@field path string?
---@field unix string?
---@field to string?
---@field rcode string?
---@field ttl integer?
---@field errno integer?
---@field line integer?
---@field audit boolean?
---@field hash boolean?
---@field matched boolean?
local DecisionMembers = {}
