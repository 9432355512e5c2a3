-- SPDX-License-Identifier: Apache-2.0
---@meta
-- Tests: what files in `tests/` and `*_test.lua` see

---A test: asks the policies questions and says what must come of them. `moonfence policy test` runs it, and so does every
---load: a generation whose tests fail is refused.
---@param name string A sentence that holds when the test passes.
---@param body fun(t: moonfence.Test)
function test(name, body) end

---What a test asks with. Each question takes the request's fields in a table, as the hook will read them; fields that
---are not given are unknown.
---@class moonfence.Test
local Test = {}

---Ask about a DNS question.
---@param fields table
---@return moonfence.Answer
function Test:dns(fields) end

---Ask about a connection.
---@param fields table
---@return moonfence.Answer
function Test:connect(fields) end

---Ask about a ClientHello.
---@param fields table
---@return moonfence.Answer
function Test:sni(fields) end

---Ask about a file operation.
---@param fields table
---@return moonfence.Answer
function Test:file(fields) end

---The decision; expectations return it again, so that they can be chained.
---@class moonfence.Answer
local Answer = {}
