-- Back references over long captures.
-- load: ok
-- call: steps|time
return function() return (("a"):rep(30000) .. "b" .. ("a"):rep(30000)):find("(.+)b%1c") end
