-- Policy of the scenarios with QUIC; names and addresses are those of tests/lab/lab.py.
return {
  name = "quic",

  dns = function(q) return allow() end,

  connect = function(c)
    if not c.host then return deny "no name led here" end
    if c:is "cdn-bad.example" then return deny "cdn-bad is out" end
    if c:is "denied.example" and c.proto == "udp" then return deny "no QUIC there" end
    if c:is "api.vendor.example" then return redirect { to = "llm.corp.example:80" } end
    return allow()
  end,

  sni = function(s)
    if s.quic and s:is "www.allowed.example" then return deny "this one by TCP" end
    if not s:matches_dns() then return deny "SNI does not belong to this address" end
    return allow()
  end,
}
