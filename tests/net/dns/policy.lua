-- Policy of the resolver's network tests.
return {
  name = "dns-test",
  dns = function(q)
    if q:under "denied.test" then return deny { reason = "denied", rcode = "NXDOMAIN" } end
    if q:is "ours.test" then return resolve { "10.0.0.7", ttl = 30 } end
    if q:under "test" then return allow() end
  end,
  connect = function(c)
    if c:under "test" then return allow() end
  end,
}
