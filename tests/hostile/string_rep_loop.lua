-- Rep of the longest string allowed, again and again.
-- load: ok
-- call: steps|time
return function() while true do local _ = ("x"):rep(65536) end end
