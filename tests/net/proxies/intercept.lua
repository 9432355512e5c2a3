-- Policy of intercept_test.py.
return {
  name = "intercept-test",

  connect = function(c)
    if c.proto == "udp" then return terminate() end
    if c:is "early.test" then return terminate "said by connect" end
    if c:is "early-exempt.test" then return terminate() end
    if c:is "denied.test" then return deny "never there" end
    if c:under "cut.test" or c:under "pinned.test" or c:under "test" then return allow() end
  end,

  sni = function(s)
    if s:is "early.test" then return nil end
    if s:is "early-exempt.test" or s:is "exempt.cut.test" then return allow "exempt" end
    if s:is "secret.cut.test" then return deny "no such host here" end
    if s:under "pinned.test" then return terminate { on_pinned = "passthrough" } end
    if s:is "not-meant.example" then return nil end
    if s:under "cut.test" then return terminate "to be looked into" end
  end,
}
