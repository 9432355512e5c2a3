-- Policy of the proxies' own network tests: one case of everything.
return {
  name = "proxies-test",

  dns = function(q)
    if q:is "a-only.test" and q.type == "A" then return resolve { "10.0.0.7", ttl = 30 } end
    if q:is "both.test" then return resolve { "10.0.0.7", "fd00::7" } end
    if q:is "alias.test" then return resolve { cname = "plain.test" } end
    if q:under "tracker.test" then return deny { reason = "tracker", rcode = "NXDOMAIN" } end
    if q:under "secret.test" then return deny "secrets stay here" end
    if q:under "test" then return allow() end
  end,

  connect = function(c)
    if c:under "secret.test" then return deny "secrets stay here" end
    if c.proto == "udp" then
      if c.port == 9000 then return redirect { to = "127.0.1.7:9001" } end
      if c:is "moved.quic.test" then return redirect { to = "127.0.1.7:9001" } end
      if c:under "test" then return allow() end
      return deny "no UDP"
    end
    if c:is "moved.test" then
      return redirect { to = "target.corp:8443", tls = "rewrite_sni", sni = "target.corp" }
    end
    if c:is "bridged.test" then
      return redirect { to = "bridge.corp:8443", tls = "rewrite_sni", sni = "bridge.corp" }
    end
    if c:is "bridged-gnutls.test" then
      return redirect { to = "bridge.corp:8444", tls = "rewrite_sni", sni = "bridge.corp" }
    end
    if c:is "retry.test" then
      return redirect { to = "127.0.1.250:1", on_failure = "retry_original" }
    end
    if c:is "closed.test" then return redirect { to = "127.0.1.250:1" } end
    if c:is "badtarget.test" then return redirect { to = "127.0.1.66:8000" } end
    if c:is "ourselves.test" then return redirect { to = "127.0.0.1:15002" } end
    if c.ip == "127.0.1.66" then return deny "never there" end
    if c:is "unix.test" then return redirect { to = "unix:/tmp/proxies-test.sock" } end
    if c:under "test" or c:is "api.vendor.example" then return allow() end
  end,

  sni = function(s)
    if s:under "blocked.test" then return deny "this name is blocked" end
    if s:is "strict.test" and not s:matches_dns() then return deny "not its address" end
    if s:is "routed.test" then return route "127.0.1.2:8443" end
    if s:is "fingerprinted.test" then
      return deny(table.concat({ s.alpn[1] .. "," .. s.alpn[2], s.versions[1], s.ja4 }, " "))
    end
    if s:is "tcp-only.quic.test" and s.quic then return deny "this one by TCP" end
    if s.ech then return deny "encrypted ClientHello" end
  end,
}
