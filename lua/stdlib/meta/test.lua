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
