-- The demo's policy: who may talk to whom, and what happens to files, in a minute's reading.
local blocked = domains { "denied.example", "tracker.example" }

return {
  name = "demo",

  -- Asked for every DNS question.
  dns = function(q)
    if q:under(blocked) then return deny { reason = "on the block list", rcode = "NXDOMAIN" } end
    if q:is "registry.npm.example" then return resolve { "11.0.0.100", ttl = 30 } end
    return allow()
  end,

  -- Asked for every TCP connection and UDP flow, with the name that led to the address.
  connect = function(c)
    if c:under(blocked) then return deny "on the block list" end
    if c:to_private() then return deny "private and metadata addresses are out of reach" end
    if not c.host then return deny "a bare address: no name led here" end
    if c.port == 443 and c:is "api.vendor.example" then
      return redirect { to = "llm.corp.example:8443", tls = "rewrite_sni", sni = "llm.corp.example" }
    end
    return allow()
  end,

  -- Asked for every TLS ClientHello, before a byte of it leaves.
  sni = function(s)
    if not s:matches_dns() then return deny "the server name does not belong to this address" end
    return allow()
  end,

  -- Asked for every operation on a file of the workspace.
  file = function(f)
    if f.path:match "/%.env$" then return deny "secrets stay where they are" end
    if f.op == "delete" or f.op == "rmdir" then return soft_delete() end
    return allow()
  end,
}
