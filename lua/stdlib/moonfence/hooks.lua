-- SPDX-License-Identifier: Apache-2.0
-- moonfence.hooks - hooks made of hooks
--
--   local hooks = require "moonfence.hooks"
--   return {
--     name = "night-shift",
--     connect = hooks.first(no_metadata, hooks.when(at_night, deny_all), company_rules),
--   }
--
-- A hook is a function from a request to a verdict or nil; so is what these return.

local M = {}

---Ask hooks one after the other; the first opinion counts.
---@param ... fun(x: moonfence.Request): moonfence.Verdict?
---@return fun(x: moonfence.Request): moonfence.Verdict?
function M.first(...)
  local hooks = { ... }
  return function(x)
    for _, hook in ipairs(hooks) do
      local verdict = hook(x)
      if verdict then return verdict end
    end
  end
end

---Ask a hook only when a condition holds.
---@param condition fun(x: moonfence.Request): any
---@param hook fun(x: moonfence.Request): moonfence.Verdict?
---@return fun(x: moonfence.Request): moonfence.Verdict?
function M.when(condition, hook)
  return function(x)
    if condition(x) then return hook(x) end
  end
end

---Ask a hook only when a condition does not hold.
---@param condition fun(x: moonfence.Request): any
---@param hook fun(x: moonfence.Request): moonfence.Verdict?
---@return fun(x: moonfence.Request): moonfence.Verdict?
function M.unless(condition, hook)
  return function(x)
    if not condition(x) then return hook(x) end
  end
end

---A condition that holds for names in any of several sets: `hooks.under(hosts.git, own_hosts)`.
---@param ... string|moonfence.Domains
---@return fun(x: moonfence.Request): boolean
function M.under(...)
  local sets = { ... }
  return function(x)
    for _, set in ipairs(sets) do
      if x:under(set) then return true end
    end
    return false
  end
end

return M
