-- SPDX-License-Identifier: Apache-2.0
-- The demo's policy: one name allowed, one redirected, the rest refused. Edit it while the demo runs.

return {
  name = "demo",

  dns = function(q)
    if q:is "allowed.example" or q:is "api.example" then return allow() end
    return deny { reason = "not in the demo's policy", rcode = "NXDOMAIN" }
  end,

  connect = function(c)
    -- api.example is served by another host, and the server name in the TLS hello is changed to match.
    if c:is "api.example" then
      return redirect { to = "gateway.example:443", tls = "rewrite_sni", sni = "gateway.example" }
    end
    if c:is "allowed.example" then return allow() end
    return deny "not in the demo's policy"
  end,

  sni = function(s)
    if s:is "allowed.example" and s:matches_dns() then return allow() end
    return deny "server name is not in the demo's policy"
  end,
}
