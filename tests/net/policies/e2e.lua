-- Policy of the end-to-end scenarios; names and addresses are those of tests/lab/lab.py.
return {
  name = "e2e",

  dns = function(q)
    if q:is "denied.example" then return deny { reason = "names: denied", rcode = "NXDOMAIN" } end
    if q:is "refused.example" then return deny "names: refused" end
    if q:is "registry.npm.example" then return resolve { "11.0.0.100", ttl = 30, visibility = "warn" } end
    if q:is "alias.example" then return resolve { cname = "allowed.example", ttl = 30 } end
    if q:is "loop.example" then while true do end end
    return allow()
  end,

  connect = function(c)
    if c.session.labels.lockdown == "yes" then return deny "lockdown" end
    if c:to_private() then return deny "private address" end
    if c:is "cdn-bad.example" then return deny "cdn-bad is out" end
    if not c.host then return deny "no name led here" end
    if c.proto == "udp" and c.port == 443 then return deny "QUIC is off: fall back to TCP" end
    if c:is "api.vendor.example" then
      return redirect { to = "llm.corp.example:8443", tls = "rewrite_sni", sni = "llm.corp.example" }
    end
    if c:is "wrong.vendor.example" then
      return redirect { to = "llm.corp.example:8443", tls = "rewrite_sni", sni = "other.corp.example" }
    end
    if c:is "refusing.example" then
      return redirect { to = "echo.example:9", on_failure = c.port == 7 and "retry_original" or "fail_closed" }
    end
    if c.process.name == "wget" and c.port == 8443 then return deny "not for wget" end
    return allow()
  end,

  sni = function(s)
    if s.sni == "cdn-bad.example" then return deny "cdn-bad is out" end
    if s.session.labels.look == "inside" and s:matches_dns() then return terminate() end
    if s.ech then return deny "encrypted ClientHello" end
    if not s:matches_dns() then return deny "SNI does not belong to this address" end
    return allow()
  end,
}
