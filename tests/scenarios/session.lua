-- The policy of scenarios.txt. Whoever runs it writes before it, on one line, the locals A, B and U (addresses and ports of
-- the servers), client (the program's name) and generation ("first", "second").
return {
  name = "scenarios",

  dns = function(q)
    if q:is "known.example" then return resolve { "192.0.2.77", "2001:db8:2::77" } end
    if q:is "gone.example" then return deny { reason = "there is no such name", rcode = "NXDOMAIN" } end
    if q:is "loop.example" then while true do end end
    if q:is "generation.example" then return resolve { generation == "first" and "192.0.2.1" or "192.0.2.2" } end
    return deny { reason = "not in this test", rcode = "REFUSED" }
  end,

  connect = function(c)
    if c.proto == "udp" then
      if c.port == 9000 then return redirect { to = U } end
      return deny "not in this test"
    end
    if c.port == 80 then return redirect { to = A } end
    if c.port == 81 and c.process.name == client then return redirect { to = B } end
    if c.port == 4000 and c:is "known.example" then return redirect { to = B } end
    return deny "not in this test"
  end,
}
