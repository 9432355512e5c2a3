-- What the fuzzer of captures asks: something of everything, and an answer that depends on the side that asks.
return {
  name = "fuzz",
  dns = function(q)
    if q:under("cdn.example") then return deny { reason = "no cdn", rcode = "NXDOMAIN" } end
    if q:under("local.example") then return resolve { "192.0.2.1", "2001:db8::1" } end
    if q.source == "old" then return allow() end
  end,
  dns_answer = function(q, a)
    if a.private and q.source == "old" then return deny("rebinding") end
  end,
  connect = function(c)
    if c:under("bad.example") then return deny("bad") end
    if c:under("there.example") then return redirect("192.0.2.3:443") end
    if c.port == 22 then return redirect("bastion.example:2222") end
    if c.port == 123 and c.process.name == "ntpd" then return allow() end
    if c.port == 8443 then return redirect { to = "192.0.2.2:443", tls = "rewrite_sni", sni = "other.example" } end
    return allow()
  end,
  sni = function(s)
    if s.source == "old" and s.ech then return deny("hidden") end
    if s.quic and s:under("vendor.example") then return route("192.0.2.4:443") end
    if s.sni == "evil.example" then return deny(s.ja4) end
  end,
}
