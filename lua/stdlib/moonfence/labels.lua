-- SPDX-License-Identifier: Apache-2.0
-- moonfence.labels - lists of names in a session's labels
--
--   moonfence run --label allow=git.corp.example,mirror.corp.example -- COMMAND
--
--   local labels = require "moonfence.labels"
--   if labels.under(q, "allow") then return allow() end
--
-- Labels belong to whoever starts the session; the command inside cannot set them.

local M = {}

---Whether the request's name is one that a label lists, or lies below one. Names are separated by commas or spaces.
---@param x moonfence.Request
---@param key string
---@return boolean
function M.under(x, key)
  local list = x.session.labels[key]
  if not list then return false end
  for name in list:gmatch "[^,%s]+" do
    if x:under(name) then return true end
  end
  return false
end

return M
