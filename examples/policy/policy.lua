-- SPDX-License-Identifier: Apache-2.0
-- The policy that examples/embed.c loads.
return {
  name = "example",

  dns_redirects = { { name = "mirror", match = "packages.example", resolve_to = "10.0.0.7" } },
  network_rules = { { name = "no-metadata", cidrs = { "169.254.169.254" }, decision = "deny" } },

  connect = function(c)
    if c:is "packages.example" and c.port == 443 then return allow() end
    return deny "only the package mirror may be reached"
  end,

  sni = function(s)
    if s:is "packages.example" then return allow() end
    return deny "server name is not the mirror's"
  end,

  file = function(f)
    if f.op == "delete" and f:under "/workspace" then return soft_delete { hash = true } end
  end,
}
