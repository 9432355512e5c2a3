-- SPDX-License-Identifier: Apache-2.0
-- What fuzz_fs_judge.c asks: one byte of a path, which one is up to the operation's word, says what is answered. model() there says the same.
-- No component of its own that would be put in order ("//", "..").
local function elsewhere(q) return "/t" .. q.path:gsub("[/.]", "_") end

local answers = {
  [2] = function() return audit(allow {}) end,
  [3] = function() return deny { reason = "three" } end,
  [4] = function() return deny { errno = "EROFS" } end,
  [5] = function() return soft_delete {} end,
  [6] = function() return soft_delete { hash = true } end,
  [7] = function(q) return redirect_path { target = elsewhere(q) } end,
  [8] = function(q) return redirect_path { target = elsewhere(q), cow = true } end,
  [9] = function() return ask {} end,
  [10] = function(q) return q.process.pid == 7 and allow {} or deny {} end,
  [11] = function(q) return q.uid == 7 and audit(allow {}) or redirect_path { target = "/u" } end,
}

return {
  name = "judge",
  file = function(q)
    local byte = q.path:byte(2 + (q.op:byte(1) + #q.op) % 7)
    if not byte then return deny { reason = "short" } end
    local answer = answers[byte % 12]
    return answer and answer(q) or allow {}
  end,
}
