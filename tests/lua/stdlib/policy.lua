-- SPDX-License-Identifier: Apache-2.0
-- Not a policy to use: denies everything with what the standard library says of it as the reason, for the tests beside.

local nets = require "moonfence.nets"
local hosts = require "moonfence.hosts"
local files = require "moonfence.files"
local labels = require "moonfence.labels"
local hooks = require "moonfence.hooks"

local net_names = { "metadata", "private", "loopback", "link_local", "shared", "multicast", "documentation",
                    "benchmarking", "any" }

local function list(names, holds)
  local found = {}
  for _, name in ipairs(names) do
    if holds(name) then found[#found + 1] = name end
  end
  return deny(#found > 0 and table.concat(found, " ") or "none")
end

local function is_v6(s) return s.family == 6 end

return {
  name = "stdlib",
  connect = function(c)
    return list(net_names, function(name) return c:to(nets[name]) end)
  end,
  dns = function(q)
    return list({ "git", "models", "resolvers", "label" }, function(name)
      if name == "label" then return labels.under(q, "allow") end
      return q:under(hosts[name])
    end)
  end,
  file = function(f)
    return list({ "secret", "only_reads", "removes", "within" }, function(name)
      if name == "within" then return files.within(f, "/srv/data") end
      if name == "removes" then return files.removes[f.op] end
      return files[name](f)
    end)
  end,
  sni = hooks.first(
    hooks.when(is_v6, function() return deny "when" end),
    hooks.unless(function(s) return s.port == 443 end, function() return deny "unless" end),
    hooks.when(hooks.under(hosts.git, "more.example"), function() return deny "under" end),
    function(s) if s.sni == "last.example" then return deny "last" end end
  ),
}
