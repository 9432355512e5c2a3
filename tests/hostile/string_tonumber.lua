-- Numbers of tens of thousands of digits.
-- load: ok
-- call: steps|time
return function() local s = ("9"):rep(60000) while true do local _ = tonumber(s), s + 0 end end
