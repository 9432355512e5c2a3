-- %b on a text that never closes.
-- load: ok
-- call: steps|time
return function() return ("("):rep(60000):find("%b()") end
