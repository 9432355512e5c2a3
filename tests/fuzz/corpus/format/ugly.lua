l-- a policy
local   trackers=domains{"a.example","b.example"}   -- two
local x <const> = -  -1
return{name="x",
      network_rules={
{name="a",domains={"**"},ports={443},decision="allow"},--[[ inline ]] {name="b", domains = { }, decision = "deny" },
  },



connect=function(c)
if c.port==443 and
c:under"a.example" or not c:under(trackers) then return deny{reason="no"}
elseif c.port<10 then
-- before else
return allow ( )
  else
      for i=1,#"abc" do c.x = c [ [[k]] ] end
end
local s = "a".."b"
  .. "c"
goto  done
::done::
end,
}
